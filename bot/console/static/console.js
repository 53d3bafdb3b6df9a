"use strict";
// Keeps the changing part of a page up to date. The page works without it.
(() => {
  const live = document.getElementById("live");
  const spoken = document.getElementById("spoken");
  if (!live || !live.dataset.live) return;

  const age = (seconds) => {
    for (const [unit, name, smaller, smallerName] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"]]) {
      if (seconds >= unit) {
        const rest = Math.floor((seconds % unit) / smaller);
        return `${Math.floor(seconds / unit)} ${name}${rest ? ` ${rest} ${smallerName}` : ""}`;
      }
    }
    return seconds >= 60 ? `${Math.floor(seconds / 60)} min` : `${seconds} s`;
  };
  const tellAges = () => {
    for (const time of live.querySelectorAll("time[data-age]")) {
      const words = age(Math.max(0, Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000)));
      if (time.textContent !== words) time.textContent = words;
    }
  };
  const glance = () => [...live.querySelectorAll(".number")].map((number) =>
    `${number.querySelector("strong").textContent} ${number.querySelector("span").textContent}`).join(", ");

  let glanced = glance();
  const show = (html) => {
    const focused = document.activeElement;
    if (live.contains(focused) && /^(INPUT|SELECT)$/.test(focused.tagName)) return false;
    const id = live.contains(focused) ? focused.id : "";
    const unfolded = [...live.querySelectorAll("details[open]")].map((details) => details.id);
    live.innerHTML = html; // made by our own templates, which escape what others wrote
    for (const each of unfolded) document.getElementById(each)?.setAttribute("open", "");
    if (id) document.getElementById(id)?.focus({ preventScroll: true });
    const now = glance();
    if (now !== glanced) spoken.textContent = glanced = now;
    tellAges();
    return true;
  };

  let waiting = null;
  const stream = new EventSource(live.dataset.live);
  stream.onmessage = (event) => {
    const html = JSON.parse(event.data);
    waiting = show(html) ? null : html;
  };
  live.addEventListener("focusout", () => setTimeout(() => {
    if (waiting !== null && show(waiting)) waiting = null;
  }));
  addEventListener("pagehide", () => stream.close());
  setInterval(tellAges, 1000);
})();
