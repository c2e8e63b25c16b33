"""`trivium view`: runs, comparisons, claims and traces in a browser; `app` has the routes, `export` the one-file page.

It reads what others write and writes nothing but its own index of traces, below the cache folder.
"""
