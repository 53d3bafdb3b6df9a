// The agent's page.

import { api, attempt, byId, live, showBoard, showHeader, showList, showMessages } from "/static/common.js";

let chosen = new URLSearchParams(location.hash.slice(1)).get("conversation");
let refresh = () => {};

showHeader("agent");

function choose(id) {
  chosen = id;
  history.replaceState(null, "", `#${new URLSearchParams({ conversation: id })}`);
  refresh();
}

const act = (name, body = {}) => attempt(() => api(`conversations/${chosen}/agent/${name}`, body));

async function look() {
  const { conversations } = await api("desk");
  if (!conversations.some((one) => one.id === chosen)) {
    chosen = (conversations.find((one) => one.holder === "agent") || { id: null }).id;
  }
  showList(conversations, chosen, choose, true);
  byId("welcome").hidden = Boolean(chosen);
  byId("window").hidden = !chosen;
  if (!chosen) {
    showBoard(null);
    return;
  }
  const view = await api(`conversations/${chosen}?as=agent`);
  showMessages(view, "agent");
  showBoard(view);
  byId("title").textContent = view.user;
  const ticket = view.ticket;
  const fields = ticket ? Object.entries(ticket.fields).map(([name, value]) => ` · ${name}: ${value}`).join("") : "";
  byId("ticket").textContent = ticket ? `Ticket ${ticket.number}, ${ticket.status}${fields}` : "No ticket";
  const holds = view.holder === "agent";
  for (const button of byId("acts").children) button.disabled = !holds;
  byId("composer").hidden = !view.canWrite;
  byId("no-control").hidden = holds;
  byId("no-control").textContent = view.ended
    ? "The user has ended this conversation."
    : "The agents don't have control here. You can still write: the bot notices and gives way.";
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (!text) return;
  byId("text").value = "";
  act("say", { text });
});
for (const button of byId("acts").children) button.addEventListener("click", () => act(button.dataset.act));

refresh = live(look);
