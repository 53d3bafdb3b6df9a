// Shared by both pages: elements made from text (never HTML), the API, header, messages, board.

const MODES = {
  release: "Release control: when a conversation ends, the platform releases control by itself. The bot checks that it did.",
  pass: "Pass control: when a conversation ends, the platform passes control on. The conversation stays open until the new holder releases it.",
};
const HOLDERS = { bot: "Bot", agent: "Agents", nobody: "Nobody" };
const STATES = { open: "open", idle: "open", stuck: "ended, still open", unproven: "ended", closed: "closed, proven" };

/** Create an element with attributes (`on…`: listeners) and children; strings become text nodes. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Call the API; throws its error. */
export async function api(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  const response = await fetch(`/api/${path}`, options).catch(() => {
    throw new Error("The sandbox does not answer. Is it still running?");
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** Run an action; show its error, if any. */
export async function attempt(act) {
  try {
    await act();
  } catch (error) {
    notice(error.message);
  }
}

let noticeTimer;

function notice(text) {
  const box = byId("notice");
  box.textContent = text;
  box.hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => { box.hidden = true; }, 6000);
}

/** Call `look` now and after each change, one call at a time. */
export function live(look) {
  let wanted = false;
  let busy = false;
  async function go() {
    wanted = true;
    if (busy) return;
    busy = true;
    while (wanted) {
      wanted = false;
      await attempt(async () => { await Promise.all([showState(), look()]); });
    }
    busy = false;
  }
  const source = new EventSource("/api/changes");
  source.addEventListener("message", go);
  source.addEventListener("open", () => { byId("gone").hidden = true; });
  source.addEventListener("error", () => { byId("gone").hidden = false; });
  go();
  return go;
}

/** Update the children of `list` to `items`; unchanged ones keep their focus and input. */
export function keep(list, items, key, make) {
  const known = new Map([...list.children].map((child) => [child.dataset.key, child]));
  let place = list.firstElementChild;
  for (const item of items) {
    const id = key(item);
    const signature = JSON.stringify(item);
    let child = known.get(id);
    if (child && child.dataset.signature === signature) {
      known.delete(id);
    } else {
      child = make(item);
      child.dataset.key = id;
      child.dataset.signature = signature;
    }
    if (child === place) place = place.nextElementSibling;
    else list.insertBefore(child, place);
  }
  for (const gone of known.values()) gone.remove();
}

const time = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

// --- header: current page, control mode, bot ---

export function showHeader(page) {
  const mode = (value, label) => el("label", {}, el("input", { type: "radio", name: "mode", value, onchange: setBoth }), el("span", {}, label));
  const link = (href, label, here) => el("a", { href, "aria-current": here ? "page" : null }, label);
  byId("top").append(
    el("div", { class: "brand" }, el("img", { src: "/static/icon.svg", alt: "", width: "28", height: "28" }),
      el("p", {}, el("strong", {}, "switchboard-bot"), " sandbox")),
    el("nav", { "aria-label": "Pages", class: "pages" }, link("/", "End user", page === "chat"), link("/agent", "Agent", page === "agent"),
      el("a", { href: "/console", id: "console", target: "_blank", rel: "noopener" }, "Console")),
    el("fieldset", { class: "modes", id: "modes" }, el("legend", {}, "Conversation control"),
      mode("release", "Release"), mode("pass", "Pass")),
    el("button", { type: "button", id: "bot-switch", class: "plain", onclick: switchBot }, "Stop the bot"),
    el("p", { class: "about-mode" }, el("span", { id: "about-mode" }), " ",
      el("button", { type: "button", id: "apart", class: "plain", onclick: setApart }, "Change only the account")),
    el("p", { class: "notice", id: "mismatch", role: "status", hidden: true }),
    el("p", { class: "notice", id: "gone", role: "status", hidden: true }, "The sandbox does not answer. Start it again, and this page continues."),
    el("p", { class: "notice", id: "notice", role: "alert", hidden: true }),
  );
}

let state = {};

async function showState() {
  state = await api("state");
  for (const radio of document.querySelectorAll("input[name=mode]")) radio.checked = radio.value === state.account;
  byId("about-mode").textContent = MODES[state.account];
  const elsewhere = state.running === null;
  for (const id of ["console", "bot-switch", "apart"]) byId(id).hidden = elsewhere;
  byId("bot-switch").textContent = state.running ? "Stop the bot" : "Start the bot";
  const wrong = state.account !== state.bot;
  byId("apart").textContent = wrong ? "Let the bot follow" : "Change only the account";
  byId("mismatch").hidden = elsewhere || (!wrong && state.running);
  byId("mismatch").textContent = state.running
    ? `The bot is set to the other mode: its CONTROL_MODE is ${state.bot}.`
    : "The bot is stopped. It catches up when it is started again.";
}

async function setBoth(event) {
  const radios = byId("modes");
  radios.disabled = true;
  await attempt(() => api("mode", { account: event.target.value, bot: event.target.value }));
  radios.disabled = false;
  event.target.focus();
}

/** Make the account's setting and the bot's differ: the bot notices, and keeps its guarantee. */
async function setApart() {
  const wrong = state.account !== state.bot;
  const other = state.account === "pass" ? "release" : "pass";
  await attempt(() => api("mode", wrong ? { bot: state.account } : { account: other }));
}

async function switchBot(event) {
  event.target.disabled = true;
  await attempt(() => api("bot", { running: !state.running }));
  event.target.disabled = false;
  event.target.focus();
}

export const currentState = () => state;

// --- conversation list ---

export function showList(conversations, chosen, choose, named) {
  keep(byId("conversations"), conversations.map((one) => ({ ...one, chosen: one.id === chosen })), (one) => one.id, (one) => el("li", {},
    el("button", { type: "button", class: "entry", "aria-current": one.chosen ? "true" : null, onclick: () => choose(one.id) },
      el("span", { class: `dot ${one.holder}` }),
      el("span", { class: "entry-title" }, named ? `${one.user}: ${one.title}` : one.title),
      el("small", {}, one.ended ? (one.holder === "nobody" ? "ended" : "ended, still open") : (one.holder === "nobody" ? "nobody is active" : `with the ${one.holder === "agent" ? "agents" : one.holder}`)))));
}

// --- messages ---

/** Show a conversation's messages; only the user's page passes `tap` and `submit`. */
export function showMessages(view, me, tap, submit) {
  const log = byId("log");
  const near = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  const other = log.dataset.conversation !== view.id;
  log.dataset.conversation = view.id;
  const canTap = Boolean(tap) && view.canWrite;
  const shown = [];
  for (const message of view.messages) {
    const actions = message.actions.filter((action) => action.type !== "reply");
    const offers = actions.length || message.items || message.form;
    shown.push({ ...message, actions, canTap: Boolean(offers) && canTap });
    const replies = message.actions.filter((action) => action.type === "reply");
    // Separate elements, so that screen readers do not repeat the message when they disappear.
    if (replies.length) shown.push({ id: `${message.id}-replies`, message: message.id, replies, canTap });
  }
  if (view.typing) shown.push({ id: "typing", from: "bot", typing: true });
  const before = log.childElementCount;
  keep(log, shown, (message) => `${view.id}-${message.id}`, (message) => messageElement(message, me, tap, submit));
  if (other || (near && log.childElementCount !== before) || near) log.scrollTop = log.scrollHeight;
}

const SPEAKERS = { user: "The user", bot: "The bot", agent: "The agent", system: "" };

function messageElement(message, me, tap, submit) {
  if (message.typing) {
    return el("div", { class: "message bot" }, el("div", { class: "bubble typing" },
      el("span", { class: "hidden" }, "The bot is typing"), el("i"), el("i"), el("i")));
  }
  if (message.replies) {
    return el("div", { class: "replies", role: "group", "aria-label": "Quick replies" },
      ...message.replies.map((action) => actionElement({ id: message.message, canTap: message.canTap }, action, tap)));
  }
  if (message.from === "system") return el("p", { class: "system" }, message.text, " ", el("time", {}, time(message.at)));
  const mine = message.from === me;
  const name = mine ? "You" : (message.name || SPEAKERS[message.from]);
  const parts = [el("p", { class: "who" }, name, " ", el("time", {}, time(message.at)))];
  const bubble = el("div", { class: "bubble" });
  if (message.text) bubble.append(el("p", {}, message.text));
  if (message.media) bubble.append(linkElement(message.media.url, message.media.alt || "Attachment"));
  if (message.form) bubble.append(formElement(message, submit));
  const buttons = message.actions;
  if (buttons.length) bubble.append(el("div", { class: "buttons" }, ...buttons.map((action) => actionElement(message, action, tap))));
  if (bubble.childElementCount) parts.push(bubble);
  if (message.items) {
    parts.push(el("ul", { class: "cards", tabindex: "0", "aria-label": "Cards" }, ...message.items.map((item, place) => el("li", { class: "card" },
      el("h3", {}, item.title), item.description && el("p", {}, item.description),
      item.picture && linkElement(item.picture, "Picture"),
      el("div", { class: "buttons" }, ...item.actions.map((action) => actionElement(message, action, tap, place)))))));
  }
  return el("div", { class: `message ${message.from}${mine ? " mine" : ""}` }, ...parts);
}

const linkElement = (url, text) => (url ? el("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, text) : el("span", {}, text));

function actionElement(message, action, tap, item) {
  if (action.url) return linkElement(action.url, action.text);
  return el("button", { type: "button", disabled: !message.canTap, onclick: () => tap(message.id, action.place, item) }, action.text);
}

function formElement(message, submit) {
  const off = message.form.answered || !message.canTap;
  const fields = message.form.fields.map((field) => {
    const id = `${message.id}-${field.name}`;
    const shared = { id, name: field.name, required: true, disabled: off };
    let input;
    if (field.type === "select") {
      input = el("select", shared, el("option", { value: "" }, field.placeholder || "Choose"), ...field.options.map((option) => el("option", { value: option.name }, option.label)));
    } else {
      input = el("input", { ...shared, type: field.type === "email" ? "email" : "text", placeholder: field.placeholder, minlength: field.minSize, maxlength: field.maxSize || 256, autocomplete: "off" });
    }
    return el("div", { class: "field" }, el("label", { for: id }, field.label), input);
  });
  const send = async (event) => {
    event.preventDefault();
    await submit(message.id, Object.fromEntries(new FormData(event.target)));
  };
  return el("form", { class: "form", onsubmit: send }, ...fields, el("button", { class: "primary", type: "submit", disabled: off }, message.form.answered ? "Sent" : "Send"));
}

// --- board: the holder, and what the switchboard did ---

export function showBoard(view) {
  const board = byId("board");
  if (!board.firstElementChild) {
    board.append(
      el("section", { class: "who-is" }, el("h2", {}, "Who is active"),
        el("ol", { class: "holders", id: "holders" }, ...Object.entries(HOLDERS).map(([key, label]) => el("li", { "data-holder": key }, label))),
        el("p", { class: "standing", role: "status" }, el("span", { class: "badge", id: "badge" }), " ", el("span", { id: "standing" })),
        el("p", { class: "owes", id: "owes", hidden: true }),
        el("p", {}, el("a", { id: "in-console", target: "_blank", rel: "noopener" }, "See what the bot knows about it"))),
      el("section", { class: "what-was" }, el("h2", {}, "What the switchboard did"),
        el("ol", { class: "timeline", id: "timeline", tabindex: "0", "aria-label": "What the switchboard did" })),
    );
  }
  board.hidden = !view;
  byId("main").classList.toggle("empty", !view);
  if (!view) return;
  board.dataset.state = view.state;
  for (const item of byId("holders").children) {
    const on = item.dataset.holder === view.holder;
    item.className = on ? item.dataset.holder : "";
    if (on) item.setAttribute("aria-current", "true");
    else item.removeAttribute("aria-current");
  }
  const put = (id, text) => { if (byId(id).textContent !== text) byId(id).textContent = text; };
  byId("badge").className = `badge ${view.state}`;
  put("badge", STATES[view.state]);
  put("standing", view.standing);
  byId("in-console").href = `/console?conversation=${encodeURIComponent(view.id)}`;
  byId("owes").hidden = !view.owes;
  put("owes", view.owes ? `The bot owes ${view.owes}.` : "");
  keep(byId("timeline"), view.timeline.map((line, place) => ({ ...line, place })), (line) => `${view.id}-${line.place}`, (line) => el("li", { class: `${line.holder} ${line.kind}` }, el("span", {}, line.text), " ", el("time", {}, time(line.at))));
  const lines = byId("timeline");
  if (lines.dataset.last !== `${view.id}-${view.timeline.length}`) lines.scrollTop = lines.scrollHeight;
  lines.dataset.last = `${view.id}-${view.timeline.length}`;
}
