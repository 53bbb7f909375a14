// What two texts do not share, word by word: in a fragment with <del> and <ins> (wordDiff), or marked in two rendered
// answers where they stand (markDifferences). Words that occur once in both texts are anchors (patience diff); what lies
// between two anchors goes to jsdiff (global Diff), for a bounded time: two long texts without a word in common would
// take it seconds.

const SPACED = String.raw`[\p{L}\p{M}\p{N}_]`;
const UNSPACED = String.raw`[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]\p{M}*`;
const TOKEN = new RegExp(String.raw`\s+|${UNSPACED}|${SPACED}+(?:['’]${SPACED}+)*|[^\s]`, "gu");
const SHORT = 3; // shared words between two longer changes: they only disturb reading
const GAP_MS = 10; // for one gap between anchors
const ALL_MS = 40; // for all gaps: later ones are then shown as replaced whole

// The text before with what it lost in <del>, and what came in <ins>: read with either left out it is `after` or `before`.
export function wordDiff(before, after) {
  const [old, now] = [before, after].map((text) => text.match(TOKEN) ?? []);
  const made = document.createDocumentFragment();
  for (const run of runs(old, now)) {
    if (run.isEqual) {
      made.append(now.slice(run.b, run.bEnd).join(""));
      continue;
    }
    if (run.aEnd > run.a) made.append(wrapped("del", old.slice(run.a, run.aEnd).join("")));
    if (run.bEnd > run.b) made.append(wrapped("ins", now.slice(run.b, run.bEnd).join("")));
  }
  return made;
}

// Wrap what only `first` says in <del> and what only `second` says in <ins>; how both are laid out stays.
export function markDifferences(first, second) {
  const [a, b] = [words(first), words(second)];
  const changed = runs(a.map(textOf), b.map(textOf)).filter((run) => !run.isEqual);
  // From the end, so that the places of earlier words in a text node stay true.
  for (const run of changed.reverse()) {
    wrapWords("del", a.slice(run.a, run.aEnd));
    wrapWords("ins", b.slice(run.b, run.bEnd));
  }
}

// Runs of two lists of tokens that together cover both: {isEqual, a, aEnd, b, bEnd}, equal ones and changed ones in turn.
function runs(a, b) {
  return readable(raw(a, b, matched(a, b)), a, b);
}

function raw(a, b, match) {
  const found = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const run = { a: i, b: j, isEqual: i < a.length && match[i] === j };
    if (run.isEqual) while (i < a.length && match[i] === j) [i, j] = [i + 1, j + 1];
    else {
      while (i < a.length && match[i] === -1) i += 1;
      j = i < a.length ? match[i] : b.length;
    }
    found.push({ ...run, aEnd: i, bEnd: j });
  }
  return found;
}

// A few words shared by chance between two longer changes are shown as changed too: "the" alone says nothing.
function readable(found, a, b) {
  const [inA, inB] = [wordCounts(a), wordCounts(b)];
  const size = (run) => Math.max(inA[run.aEnd] - inA[run.a], inB[run.bEnd] - inB[run.b]);
  const kept = [];
  found.forEach((run, index) => {
    const [before, after] = [kept.at(-1), found[index + 1]];
    const shared = size(run);
    const isNoise = run.isEqual && before && after && shared <= SHORT && size(before) > shared && size(after) > shared;
    const isBlank = run.isEqual && before && after && shared === 0;
    if (isNoise || isBlank || (!run.isEqual && before && !before.isEqual)) Object.assign(before, { aEnd: run.aEnd, bEnd: run.bEnd });
    else kept.push({ ...run });
  });
  return kept;
}

// How many of the first n tokens are more than white space, for each n.
function wordCounts(tokens) {
  const counts = new Uint32Array(tokens.length + 1);
  tokens.forEach((token, index) => (counts[index + 1] = counts[index] + (token.trim() ? 1 : 0)));
  return counts;
}

// For each token of a its partner in b, or -1; partners are in order.
function matched(a, b) {
  const match = new Int32Array(a.length).fill(-1);
  const deadline = performance.now() + ALL_MS;
  const gaps = [[0, a.length, 0, b.length]];
  while (gaps.length) {
    let [i, iEnd, j, jEnd] = gaps.pop();
    while (i < iEnd && j < jEnd && a[i] === b[j]) match[i++] = j++;
    while (i < iEnd && j < jEnd && a[iEnd - 1] === b[jEnd - 1]) match[--iEnd] = --jEnd;
    if (i === iEnd || j === jEnd) continue;
    const anchors = anchorsOf(a, b, i, iEnd, j, jEnd);
    if (anchors.length === 0) matchSlowly(a, b, [i, iEnd, j, jEnd], match, deadline);
    let [fromA, fromB] = [i, j];
    for (const [atA, atB] of anchors.length ? [...anchors, [iEnd, jEnd]] : []) {
      gaps.push([fromA, atA, fromB, atB]);
      [fromA, fromB] = [atA, atB];
      if (atA < iEnd) [match[fromA], fromA, fromB] = [atB, atA + 1, atB + 1];
    }
  }
  return match;
}

function matchSlowly(a, b, [i, iEnd, j, jEnd], match, deadline) {
  const timeout = Math.min(GAP_MS, deadline - performance.now());
  const parts = timeout > 0 ? Diff.diffArrays(a.slice(i, iEnd), b.slice(j, jEnd), { timeout }) : undefined;
  for (const { added, removed, count } of parts ?? []) {
    if (removed) i += count;
    else if (added) j += count;
    else for (let end = i + count; i < end; i += 1, j += 1) match[i] = j;
  }
}

// The longest run, in the order of both, of words that stand once in either range.
function anchorsOf(a, b, i, iEnd, j, jEnd) {
  const [inA, inB] = [once(a, i, iEnd), once(b, j, jEnd)];
  const pairs = [];
  for (const [token, at] of inA) if (at >= 0 && inB.get(token) >= 0 && token.trim()) pairs.push([at, inB.get(token)]);
  return increasing(pairs);
}

function once(list, from, to) {
  const places = new Map();
  for (let at = from; at < to; at += 1) places.set(list[at], places.has(list[at]) ? -1 : at);
  return places;
}

function increasing(pairs) {
  const tails = []; // tails[n]: index of the pair that ends the best run of n + 1 pairs
  const before = [];
  pairs.forEach(([, at], index) => {
    let [low, high] = [0, tails.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pairs[tails[middle]][1] < at) low = middle + 1;
      else high = middle;
    }
    before[index] = low > 0 ? tails[low - 1] : -1;
    tails[low] = index;
  });
  const found = [];
  for (let index = tails.at(-1) ?? -1; index >= 0; index = before[index]) found.push(pairs[index]);
  return found.reverse();
}

// The words of an element in reading order; a formula is one word, since nothing may be wrapped inside it.
function words(root) {
  const found = [];
  const isFormula = ({ nodeName }) => nodeName === "math";
  const isText = ({ nodeType }) => nodeType === Node.TEXT_NODE;
  const filter = (node) => {
    if (isFormula(node.parentNode)) return NodeFilter.FILTER_REJECT;
    return isText(node) || isFormula(node) ? NodeFilter.FILTER_ACCEPT : NodeFilter.FILTER_SKIP;
  };
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, filter);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!isFormula(node)) found.push(...wordsOf(node));
    else found.push({ node, text: node.textContent });
  }
  return found;
}

function wordsOf(node) {
  const found = [];
  for (const { 0: text, index } of node.data.matchAll(TOKEN)) {
    if (text.trim()) found.push({ node, text, start: index, end: index + text.length });
  }
  return found;
}

// Words beside each other in one text node are wrapped together. Range.surroundContents would take three times as long.
function wrapWords(tag, list) {
  for (let end = list.length; end > 0; ) {
    let from = end - 1;
    while (from > 0 && list[from - 1].node === list[end - 1].node) from -= 1;
    wrapNode(tag, part(list[from], list[end - 1]));
    end = from;
  }
}

function part({ node, start }, { end }) {
  if (node.nodeType !== Node.TEXT_NODE) return node;
  if (end < node.length) node.splitText(end);
  return start > 0 ? node.splitText(start) : node;
}

function wrapNode(tag, node) {
  const made = document.createElement(tag);
  node.replaceWith(made);
  made.append(node);
}

function textOf(word) {
  return word.text;
}

function wrapped(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
