/** A tidy drawing of a tree in time linear in its nodes: Buchheim, Juenger and Leipert 2002, without recursion. */

/**
 * Places of the nodes below `root`: `order` is their indices from the top, and `across[i]` how far node i is from the
 * first, in units of one node's room.  `children[i]` are indices; a node for which `folded(i)` holds shows none.
 */
export function tidy(children, root, folded) {
  const n = children.length;
  const order = preorder(children, root, folded);
  const shown = (i) => (folded(i) ? [] : children[i]);
  const prelim = new Float64Array(n);
  const mod = new Float64Array(n);
  const shift = new Float64Array(n);
  const change = new Float64Array(n);
  const thread = new Int32Array(n).fill(-1);
  const ancestor = Int32Array.from({ length: n }, (_, i) => i);
  const parent = new Int32Array(n).fill(-1);
  const rank = new Int32Array(n);
  for (const v of order) {
    shown(v).forEach((w, i) => {
      parent[w] = v;
      rank[w] = i;
    });
  }
  const first = (v) => (shown(v).length ? shown(v)[0] : thread[v]);
  const last = (v) => (shown(v).length ? shown(v)[shown(v).length - 1] : thread[v]);
  const left = (v) => (rank[v] > 0 ? shown(parent[v])[rank[v] - 1] : -1);

  function spread(v) {
    let moved = 0;
    let changed = 0;
    const kids = shown(v);
    for (let i = kids.length - 1; i >= 0; i -= 1) {
      const w = kids[i];
      prelim[w] += moved;
      mod[w] += moved;
      changed += change[w];
      moved += shift[w] + changed;
    }
  }

  function apportion(v, start) {
    const before = left(v);
    if (before < 0) return start;
    let [inRight, outRight, inLeft, outLeft] = [v, v, before, shown(parent[v])[0]];
    let [sInRight, sOutRight, sInLeft, sOutLeft] = [mod[inRight], mod[outRight], mod[inLeft], mod[outLeft]];
    while (last(inLeft) >= 0 && first(inRight) >= 0) {
      [inLeft, inRight, outLeft, outRight] = [last(inLeft), first(inRight), first(outLeft), last(outRight)];
      ancestor[outRight] = v;
      const by = prelim[inLeft] + sInLeft - (prelim[inRight] + sInRight) + 1;
      if (by > 0) {
        const from = parent[ancestor[inLeft]] === parent[v] ? ancestor[inLeft] : start;
        const between = rank[v] - rank[from];
        change[v] -= by / between;
        shift[v] += by;
        change[from] += by / between;
        prelim[v] += by;
        mod[v] += by;
        sInRight += by;
        sOutRight += by;
      }
      sInLeft += mod[inLeft];
      sInRight += mod[inRight];
      sOutLeft += mod[outLeft];
      sOutRight += mod[outRight];
    }
    if (last(inLeft) >= 0 && last(outRight) < 0) {
      thread[outRight] = last(inLeft);
      mod[outRight] += sInLeft - sOutRight;
    }
    if (first(inRight) >= 0 && first(outLeft) < 0) {
      thread[outLeft] = first(inRight);
      mod[outLeft] += sInRight - sOutLeft;
      return v;
    }
    return start;
  }

  const starts = new Int32Array(n).fill(-1); // the child from which conflicts of a node's children are looked for
  for (let i = order.length - 1; i >= 0; i -= 1) {
    // In reverse preorder all children of v come before v, but the last child first; so children are gone through here.
    const v = order[i];
    const kids = shown(v);
    if (!kids.length) continue;
    starts[v] = kids[0];
    for (const w of kids) {
      const own = shown(w);
      const middle = own.length ? (prelim[own[0]] + prelim[own[own.length - 1]]) / 2 : 0;
      const before = left(w);
      prelim[w] = before >= 0 ? prelim[before] + 1 : middle;
      mod[w] = before >= 0 && own.length ? prelim[w] - middle : 0;
      starts[v] = apportion(w, starts[v]);
    }
    spread(v);
  }
  const across = new Float64Array(n);
  const sum = new Float64Array(n);
  let least = Infinity;
  for (const v of order) {
    const up = parent[v];
    sum[v] = up >= 0 ? sum[up] + mod[up] : 0;
    const own = shown(v);
    const base = up >= 0 ? prelim[v] : own.length ? (prelim[own[0]] + prelim[own[own.length - 1]]) / 2 : 0;
    if (up < 0) mod[v] = 0;
    across[v] = base + sum[v];
    least = Math.min(least, across[v]);
  }
  for (const v of order) across[v] -= least;
  return { order, across };
}

/** Lists of children, from the parent of each node. */
export function childrenOf(parents) {
  const children = parents.map(() => []);
  parents.forEach((parent, i) => parent >= 0 && children[parent].push(i));
  return children;
}

function preorder(children, root, folded) {
  const order = [];
  const stack = [root];
  while (stack.length) {
    const v = stack.pop();
    order.push(v);
    if (!folded(v)) for (let i = children[v].length - 1; i >= 0; i -= 1) stack.push(children[v][i]);
  }
  return order;
}
