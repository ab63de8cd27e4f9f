// The judging page: keys, votes without reloading, and an announcement of each new pair.
// Texts go into the page as text only; nothing here reads or writes HTML.
"use strict";

const byId = (id) => document.getElementById(id);
const vote = byId("vote");
const state = { task: null, since: performance.now(), busy: false, tokens: false, keys: true };
const CHOICES = { 1: "left", ArrowLeft: "left", 2: "right", ArrowRight: "right", t: "tie", b: "both_bad", s: "skip" };
const SAID = { left: "Left is better", right: "Right is better", tie: "Equally good", both_bad: "Both are bad", skip: "Skipped" };
const STRENGTHS = { 7: "1", 8: "2", 9: "3" };

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function nodesOf(pieces) {
  return pieces.map((piece) => {
    if (!piece.name) return document.createTextNode(piece.text);
    const made = element("span", "hidden-character", piece.text);
    made.title = piece.name;
    return made;
  });
}

function fill(place, shown) {
  if (state.tokens && shown.tokens.length) {
    const tokens = shown.tokens.map((pieces) => {
      const made = element("span", "token", "");
      made.append(...nodesOf(pieces));
      return made;
    });
    place.replaceChildren(...tokens.flatMap((token) => [token, document.createElement("wbr")]));
  } else if (shown.pieces.length) {
    place.replaceChildren(...nodesOf(shown.pieces));
  } else {
    place.replaceChildren(element("span", "empty", "(empty text)"));
  }
}

const plain = (shown) => shown.pieces.map((piece) => piece.text).join("") || "empty text";

function paint() {
  const { task, prompt, left, right } = state.task;
  byId("tokens-button").hidden = !task || !left.tokens.length;
  if (!task) return;
  fill(byId("prompt"), prompt);
  fill(byId("left"), left);
  fill(byId("right"), right);
}

function show(card, before = "") {
  const isNew = !state.task || state.task.task !== card.task;
  state.task = card;
  vote.hidden = !card.task;
  byId("finished").hidden = Boolean(card.task);
  vote.elements.task.value = card.task || "";
  byId("progress").textContent = `${card.done} of ${card.total} done`;
  byId("bar").value = card.done;
  byId("bar").max = Math.max(card.total, 1);
  byId("judging").dataset.done = card.done;
  document.documentElement.dataset.ready = "yes";
  paint();
  if (!isNew && !before) return;
  state.since = performance.now();
  for (const button of vote.elements.strength || []) button.checked = false;
  const next = card.task
    ? `Pair ${card.done + 1} of ${card.total}. Prompt: ${plain(card.prompt)}. Left: ${plain(card.left)}. Right: ${plain(card.right)}.`
    : "Nothing more to judge.";
  byId("saved").textContent = before;
  byId("status").textContent = `${before}${before && ". "}${next}`;
}

async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
  const found = await answer.json();
  if (found.card) return { card: found.card, problem: answer.ok ? "" : found.detail };
  throw new Error(answer.status === 429 ? "That was very fast: wait a moment, then answer again." : found.detail || `error ${answer.status}`);
}

async function send(path, body, said) {
  if (state.busy) return;
  state.busy = true;
  byId("problem").textContent = "";
  try {
    const { card, problem } = await ask(path, body);
    byId("problem").textContent = problem;
    show(card, problem ? "Not saved" : said);
  } catch (error) {
    const reason = error instanceof TypeError ? "The server cannot be reached: try again." : error.message;
    byId("problem").textContent = `Not saved. ${reason}`;
  } finally {
    state.busy = false;
  }
}

function judge(choice) {
  if (!state.task || !state.task.task) return;
  const chosen = [...(vote.elements.strength || [])].find((button) => button.checked);
  const strength = chosen && (choice === "left" || choice === "right") ? Number(chosen.value) : null;
  const seconds = Math.max(0, (performance.now() - state.since) / 1000);
  send("/judgements", { task: state.task.task, choice, strength, seconds }, `${SAID[choice]}, saved`);
}

const undo = () => send("/undo", {}, "Undone");

function toggleTokens() {
  state.tokens = !state.tokens;
  byId("tokens-button").setAttribute("aria-pressed", state.tokens);
  if (state.task) paint();
}

function setKeys(on) {
  state.keys = on;
  byId("keys-button").setAttribute("aria-pressed", on);
  byId("keys-button").textContent = on ? "Keys are on" : "Keys are off";
}

function toggleHelp() {
  const help = byId("help");
  if (help.open) help.close();
  else help.showModal();
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.isComposing) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!state.keys && key !== "?") return;
  if (key === "?") toggleHelp();
  else if (byId("help").open) return;
  else if (key in STRENGTHS) vote.querySelector(`[name=strength][value="${STRENGTHS[key]}"]`)?.click();
  else if (event.target.type === "radio" && key.startsWith("Arrow")) return;
  else if (key in CHOICES) judge(CHOICES[key]);
  else if (key === "u") undo();
  else if (key === "k") toggleTokens();
  else return;
  event.preventDefault();
}

async function look() {
  if (state.busy || (state.task && state.task.task)) return;
  try {
    show((await ask("/task")).card);
  } catch (error) {
    byId("problem").textContent = error instanceof TypeError ? "The server cannot be reached." : error.message;
  }
}

document.addEventListener("keydown", onKey);
vote.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.submitter) judge(event.submitter.value);
});
byId("undo").addEventListener("submit", (event) => {
  event.preventDefault();
  undo();
});
byId("tokens-button").addEventListener("click", toggleTokens);
byId("help-button").addEventListener("click", toggleHelp);
byId("keys-button").addEventListener("click", () => setKeys(!state.keys));
byId("help-button").hidden = false;
look();
setInterval(look, 10000);
