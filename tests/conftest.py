"""What holds for all tests: a slow machine is no reason for a property to fail."""

from hypothesis import HealthCheck, settings

settings.register_profile("trivium", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trivium")
