// The list of alarms: over a WebSocket, first all and then what changes; what an operator does goes by HTTP.
import { localTime, span } from "./text.js";

const $ = (id) => document.getElementById(id);
const LIMIT = 200;
const RANK = { Critical: 0, High: 1, Medium: 2, Low: 3 };
/** Mark and class of a state; of those that wait for somebody the mark tells without the colour. */
const LOOK = {
  "Active,Unacked": ["●", "bad"], "Active,Acked": ["○", ""], "Cleared,Unacked": ["◐", "wait"], "Cleared,Acked": ["✓", ""],
};
const SHELVED_EVERY_MS = 5000;
const NORMAL = "Cleared,Acked";

/** By path and name: of each there is one that is not normal, at most. */
const alarms = new Map();
const rows = new Map();
/** Of a list that comes in several messages: what has come of it. */
let fresh = null;
let waits = 1000;
let drawing = false;

export function startAlarms() {
  connect();
  $("alarms-shelved").addEventListener("change", draw);
  $("alarm-go").addEventListener("click", go);
  for (const field of ["alarm-comment", "alarm-minutes"]) {
    $(field).addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      go();
    });
  }
  refreshShelvings();
  setInterval(refreshShelvings, SHELVED_EVERY_MS);
}

// ---- what the node says ----

function connect() {
  const address = new URL("ws/v1/realtimeData", location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address);
  socket.addEventListener("open", () => {
    waits = 1000;
    socket.send(JSON.stringify({ alarms: true }));
  });
  socket.addEventListener("message", (event) => {
    const message = JSON.parse(event.data);
    if (message.type === "alarms") take(message);
  });
  socket.addEventListener("close", () => {
    fresh = null;
    set($("alarms-summary"), "✕ no connection: the list may be old");
    setTimeout(connect, waits);
    waits = Math.min(waits * 2, 10_000);
  });
}

function take({ all, more, data }) {
  if (all) {
    fresh ??= new Map();
    for (const alarm of data) fresh.set(key(alarm), alarm);
    if (more) return;
    alarms.clear();
    for (const [name, alarm] of fresh) alarms.set(name, alarm);
    fresh = null;
  } else {
    for (const alarm of data) {
      if (alarm.state === NORMAL) alarms.delete(key(alarm));
      else alarms.set(key(alarm), alarm);
    }
  }
  // A flood of messages is drawn once a frame.
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; draw(); });
}

function key(alarm) {
  return `${alarm.path}\n${alarm.name}`;
}

// ---- drawing ----

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function look(element, name) {
  if (element.className !== name) element.className = name;
}

/** Who waits for somebody stands above; then the most urgent, then the newest. */
function order(a, b) {
  const waits = (alarm) => (alarm.state === "Active,Acked" ? 1 : 0);
  return waits(a) - waits(b) || RANK[a.priority] - RANK[b.priority]
    || (b.activeTime ?? "").localeCompare(a.activeTime ?? "") || key(a).localeCompare(key(b));
}

function draw() {
  const open = [...alarms.values()].filter((alarm) => !alarm.shelved);
  const count = (state) => open.filter((alarm) => alarm.state === state).length;
  const [unacked, acked, cleared] = ["Active,Unacked", "Active,Acked", "Cleared,Unacked"].map(count);
  set($("alarms-summary"), open.length === 0 ? "✓ no alarms"
    : `${unacked} active and not acknowledged, ${acked} acknowledged, ${cleared} cleared and not acknowledged`);

  const shown = $("alarms-shelved").checked ? [...alarms.values()] : open;
  const hidden = alarms.size - open.length;
  const parts = [];
  if (shown.length > LIMIT) parts.push(`the first ${LIMIT} of ${shown.length} are shown`);
  if (hidden > 0) parts.push(`${hidden} shelved`);
  set($("alarms-count"), parts.join(", "));

  const wanted = shown.sort(order).slice(0, LIMIT);
  const names = new Set(wanted.map(key));
  for (const [name, row] of rows) {
    if (!names.has(name)) { row.remove(); rows.delete(name); }
  }
  const body = $("alarms");
  wanted.forEach((alarm, i) => {
    const name = key(alarm);
    let row = rows.get(name);
    if (!row) {
      row = makeRow(name);
      rows.set(name, row);
    }
    if (body.children[i] !== row) body.insertBefore(row, body.children[i] ?? null);
    fill(row, alarm);
  });
}

function makeRow(name) {
  const row = document.createElement("tr");
  row.append(...Array.from({ length: 7 }, () => document.createElement("td")));
  row.children[3].className = "time";
  row.children[4].className = "number";
  const buttons = row.children[6].appendChild(document.createElement("div"));
  buttons.className = "buttons";
  for (const [text, act] of [["Acknowledge", acknowledge], ["Shelve…", shelve]]) {
    const button = buttons.appendChild(document.createElement("button"));
    button.type = "button";
    button.textContent = text;
    // As the alarm is when the button is pressed, not when the row was made.
    button.addEventListener("click", () => { const alarm = alarms.get(name); if (alarm) act(alarm); });
  }
  return row;
}

function fill(row, alarm) {
  const [priority, state, path, time, value, description, actions] = row.children;
  const [mark, kind] = LOOK[alarm.state] ?? ["?", ""];
  set(priority, alarm.priority);
  set(state, `${mark} ${alarm.state.replace(",", ", ")}${alarm.shelved ? ", shelved" : ""}`);
  look(state, alarm.shelved ? "" : kind);
  set(path, `${alarm.path}/${alarm.name}`);
  set(time, alarm.activeTime ? localTime(alarm.activeTime) : "–");
  if (time.title !== (alarm.activeTime ?? "")) time.title = alarm.activeTime ?? "";
  set(value, plain(alarm.value));
  const notes = [alarm.description, alarm.operator && `acknowledged by ${alarm.operator}`, alarm.ackNotes && `“${alarm.ackNotes}”`];
  set(description, notes.filter(Boolean).join("; "));
  const [ack, hide] = actions.firstChild.children;
  ack.disabled = !alarm.state.endsWith("Unacked");
  const name = `${alarm.path} ${alarm.name}`;
  ack.setAttribute("aria-label", `Acknowledge ${name}`);
  hide.setAttribute("aria-label", `Shelve ${name}`);
  hide.disabled = alarm.shelved;
  look(row, alarm.shelved || alarm.state === "Active,Acked" ? "calm" : "");
}

function plain(value) {
  if (value === null) return "–";
  return typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value);
}

async function refreshShelvings() {
  if (document.hidden) return;
  try {
    const answer = await fetch("api/v1/alarms/shelved");
    if (answer.ok) drawShelvings(await answer.json());
  } catch {
    // asked again in a moment
  }
}

function drawShelvings(shelvings) {
  const list = $("shelvings");
  const known = new Map([...list.children].map((item) => [item.dataset.path, item]));
  const items = shelvings.map((shelving) => {
    const item = known.get(shelving.path) ?? makeShelving(shelving.path);
    const who = [shelving.operator && `by ${shelving.operator}`, shelving.comment && `“${shelving.comment}”`];
    set(item.firstChild, ["Shelved:", shelving.path, `for another ${span(shelving.remainingS * 1000)}`, ...who].filter(Boolean).join(" "));
    return item;
  });
  const same = items.length === list.children.length && items.every((item, i) => list.children[i] === item);
  if (!same) list.replaceChildren(...items);
}

function makeShelving(path) {
  const item = document.createElement("li");
  item.dataset.path = path;
  item.appendChild(document.createElement("span"));
  const button = item.appendChild(document.createElement("button"));
  button.type = "button";
  button.textContent = "Show again";
  button.setAttribute("aria-label", `Show ${path} again`);
  button.addEventListener("click", () => act("unshelve", { path }));
  return item;
}

// ---- acting ----

/** What the dialog is open for. */
let asked = null;

/** Sends an order; the answer is null, or the text of why it was refused. An order whose answer was lost is repeated. */
async function send(path, body) {
  const operationId = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  for (let left = 4; ; left--) {
    try {
      const answer = await fetch(`api/v1/alarms/${path}`, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...body, operationId }),
      });
      if (answer.ok) return null;
      if (answer.status !== 504 || left === 0) return (await answer.json()).error.message;
    } catch {
      if (left === 0) return "No answer from this node. What became of the order is not known: look at the list.";
    }
    await new Promise((done) => setTimeout(done, 500));
  }
}

async function act(path, body) {
  set($("alarms-answer"), "");
  const refused = await send(path, body);
  if (refused) set($("alarms-answer"), `✕ Refused: ${refused}`);
  refreshShelvings();
}

function acknowledge(alarm) {
  if (alarm.ackMode !== "ManualWithComment") {
    act(`${alarm.eventId}/ack`, {});
    return;
  }
  ask("Acknowledge", alarm, "This alarm is acknowledged with a comment.", false, (comment) => [`${alarm.eventId}/ack`, { comment }]);
}

function shelve(alarm) {
  const path = `${alarm.path}/${alarm.name}`;
  const what = "It is not shown until the time is over. It is judged and journaled all the same.";
  ask("Shelve", alarm, what, true, (comment) => ["shelve", { path, minutes: Number($("alarm-minutes").value), comment }]);
}

function ask(title, alarm, what, withMinutes, order) {
  asked = { withMinutes, order };
  set($("alarm-title"), `${title} ${alarm.path}/${alarm.name}?`);
  set($("alarm-what"), what);
  set($("alarm-answer"), "");
  set($("alarm-go"), title);
  $("alarm-minutes-label").hidden = !withMinutes;
  $("alarm-comment").required = !withMinutes;
  $("alarm-comment").value = "";
  $("alarm-dialog").showModal();
  $(withMinutes ? "alarm-minutes" : "alarm-comment").focus();
}

async function go() {
  if (!asked || $("alarm-go").disabled) return;
  if (!$("alarm-comment").reportValidity() || (asked.withMinutes && !$("alarm-minutes").reportValidity())) return;
  $("alarm-go").disabled = true;
  const refused = await send(...asked.order($("alarm-comment").value));
  $("alarm-go").disabled = false;
  if (refused) set($("alarm-answer"), `✕ Refused: ${refused}`);
  else $("alarm-dialog").close();
  refreshShelvings();
}
