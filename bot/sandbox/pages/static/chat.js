// The end user's page.

import { api, attempt, byId, live, showBoard, showHeader, showList, showMessages } from "/static/common.js";

const place = new URLSearchParams(location.hash.slice(1));
let user = place.get("user");
let chosen = place.get("conversation");
let refresh = () => {};

showHeader("chat");

function remember() {
  const hash = new URLSearchParams({ user });
  if (chosen) hash.set("conversation", chosen);
  history.replaceState(null, "", `#${hash}`);
}

function choose(id) {
  chosen = id;
  remember();
  refresh();
}

const act = (name, body = {}) => attempt(() => api(`conversations/${chosen}/user/${name}`, body));

async function look() {
  if (!user) user = (await api("state")).firstUser;
  const mine = await api(`users/${user}`).catch(() => null);
  if (!mine) { // the sandbox has been replaced since the page was opened
    user = (await api("state")).firstUser;
    chosen = null;
    remember();
    refresh();
    return;
  }
  byId("user-name").textContent = mine.user.name;
  if (!mine.conversations.some((one) => one.id === chosen)) chosen = mine.conversations.length ? mine.conversations[0].id : null;
  remember();
  showList(mine.conversations, chosen, choose, false);
  byId("welcome").hidden = Boolean(chosen);
  byId("window").hidden = !chosen;
  if (!chosen) {
    showBoard(null);
    return;
  }
  const view = await api(`conversations/${chosen}`);
  if (view.id !== chosen) return;
  showMessages(view, "user", (message, at, item) => act("tap", { message, place: at, item }), (message, values) => act("submit", { message, values }));
  showBoard(view);
  byId("end").hidden = view.ended;
  byId("composer").hidden = !view.canWrite;
  byId("over").hidden = view.canWrite;
}

async function start() {
  await attempt(async () => {
    choose((await api(`users/${user}/conversations`, {})).id);
    await refresh();
    byId("text").focus();
  });
}

/** Show a dialog; call `yes` if it is confirmed. */
function ask(dialog, yes) {
  dialog.returnValue = "";
  dialog.onclose = () => { if (dialog.returnValue === "yes") yes(); };
  dialog.showModal();
}

for (const id of ["start", "start-here", "again"]) byId(id).addEventListener("click", start);
byId("end").addEventListener("click", () => ask(byId("ask-end"), async () => {
  await act("end");
  await refresh();
  byId("again").focus();
}));
byId("rename").addEventListener("click", () => ask(byId("ask-name"), () => attempt(async () => {
  user = (await api("users", { name: byId("name").value })).id;
  choose(null);
})));
byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (!text) return;
  byId("text").value = "";
  act("say", { text });
});

refresh = live(look);
