// News. The server tells by events that there is some; the page gets itself again and changes
// where it differs. So what is shown is always what the server would show.

const root = document.documentElement;
const staleAfter = Number(root.dataset.staleAfter) * 1000;
const calm = 2000; // at most one refresh in this time
const sayAfter = 10000; // at most one announcement in this time

const words = {
  block: "A block has changed its state.",
  template: "A new template is being mined.",
  payout: "A payout has moved on.",
};

let source = null;
let failures = 0;
let retry = 0;
let heard = Date.now(); // when the stream last had news
let fetched = 0;
let planned = 0;
let said = 0;
let rerun = () => {};

export function live(after) {
  rerun = after;
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else {
      heard = Date.now();
      open();
      soon();
    }
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  setInterval(watch, 1000);
  if (!document.hidden) open();
}

function open() {
  close();
  show("waiting", "connecting");
  source = new EventSource("/api/v1/events?kinds=block,template,payout,stats");
  source.onopen = () => {
    if (failures > 0) soon(); // something may have been missed
    failures = 0;
    news();
  };
  source.onerror = () => {
    close();
    failures++;
    show("waiting", "reconnecting");
    const wait = Math.min(30000, 1000 * 2 ** failures) * (0.5 + Math.random() / 2);
    retry = setTimeout(open, wait);
    if (failures > 2) soon(); // something between here and the pool lets no streams through: ask instead
  };
  for (const kind of ["block", "template", "payout", "stats", "gap"]) {
    source.addEventListener(kind, () => {
      news();
      soon();
      if (words[kind]) say(words[kind]);
    });
  }
}

function close() {
  clearTimeout(retry);
  source?.close();
  source = null;
}

function news() {
  heard = Date.now();
  stale(false);
  show("live", "live");
}

// watch marks the page stale when nothing comes any more.
function watch() {
  if (!document.hidden && Date.now() - heard > staleAfter) stale(true);
}

function stale(is) {
  root.classList.toggle("stale-page", is);
  const note = document.getElementById("stale-note");
  if (note.hidden === is) note.hidden = !is;
  if (is) show("stale", "stale");
}

function show(state, text) {
  const el = document.getElementById("live");
  if (!el) return;
  el.dataset.state = state;
  document.getElementById("live-text").textContent = text;
}

// soon plans a refresh, at a moment of its own: a block is news to all pages at once.
function soon() {
  if (planned) return;
  planned = setTimeout(refresh, Math.max(100, fetched + calm - Date.now()) + Math.random() * 300);
}

async function refresh() {
  planned = 0;
  fetched = Date.now();
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of ["notices", "body"]) {
      const next = page.getElementById(id);
      if (next) morph(document.getElementById(id), document.adoptNode(next));
    }
    document.title = page.title;
    rerun(document);
    heard = Date.now();
    stale(false);
  } catch {
    // the next event tries again
  }
}

// morph makes one element like another and leaves alone what is the same: what the reader has
// opened, selected or typed in stays.
function morph(now, next) {
  if (now.nodeType !== next.nodeType || now.nodeName !== next.nodeName) {
    now.replaceWith(next);
    return;
  }
  if (now.nodeType !== Node.ELEMENT_NODE) {
    if (now.data !== next.data) {
      now.data = next.data;
      glow(now.parentElement?.closest(".tick"));
    }
    return;
  }
  if (now.hasAttribute("data-keep")) return;
  attributes(now, next);
  const news = [...next.childNodes];
  const olds = [...now.childNodes];
  news.forEach((node, i) => (olds[i] ? morph(olds[i], node) : now.append(node)));
  olds.slice(news.length).forEach((node) => node.remove());
}

// The page's own script has set these.
const ours = new Set(["open", "hidden", "data-ready", "aria-sort", "value"]);

function attributes(now, next) {
  for (const { name, value } of next.attributes) {
    if (!ours.has(name) && now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  for (const { name } of [...now.attributes]) {
    if (ours.has(name) || next.hasAttribute(name)) continue;
    now.removeAttribute(name);
  }
  if (now.classList.contains("figure") && now.querySelector(".u-wrap")) now.classList.add("drawn");
}

const still = matchMedia("(prefers-reduced-motion: reduce)");

function glow(el) {
  if (el && !still.matches) el.animate([{ color: "var(--accent)" }, {}], { duration: 900 });
}

function say(text) {
  if (Date.now() - said < sayAfter) return;
  said = Date.now();
  document.getElementById("announce").textContent = text;
}

// How much this clock is ahead of the server's.
const ahead = Date.now() - Date.parse(root.dataset.now);

// ages keeps "3 min ago" true between refreshes.
export function ages() {
  setInterval(() => {
    if (document.hidden) return;
    for (const el of document.querySelectorAll("time[data-age]")) {
      const text = age((Date.now() - ahead - Date.parse(el.dateTime)) / 1000);
      if (text && el.textContent !== text) el.textContent = text;
    }
  }, 5000);
}

function age(s) {
  if (s < 1) return ""; // ahead, or the clocks differ: the server's words stay
  if (s < 120) return `${Math.floor(s)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  const [large, small, l, m] = s < 86400 ? [3600, 60, "h", "min"] : [86400, 3600, "d", "h"];
  if (s >= 100 * 86400) return "";
  const n = Math.floor(s / large);
  const rest = Math.floor((s - n * large) / small);
  return rest ? `${n} ${l} ${rest} ${m} ago` : `${n} ${l} ago`;
}
