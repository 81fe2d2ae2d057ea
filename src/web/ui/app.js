// The page of a node: status by server-sent events, tags by polling. Rows and cells are patched in place, so that focus,
// selection and scrolling stay.
import { ago, countText, localTime, span, valueText } from "./text.js";
import { startAlarms } from "./alarms.js";
import { startTags } from "./tags.js";

const $ = (id) => document.getElementById(id);
const LOOK = {
  Running: ["●", "good"], Standby: ["◐", "wait"], Faulted: ["✕", "bad"], Unknown: ["?", "warn"], Disconnected: ["○", "warn"],
};
/** Without an event for this long the node counts as lost; it sends one each second. */
const STALE_AFTER_MS = 3000;

let status = null;
let lastEvent = 0;
/** Wall-clock text of the last event. */
let lostAt = localTime(new Date());
let shownEvents = "";

// ---- drawing ----

/** Sets a text only when it differs: an unchanged live region stays silent, a selection stays. */
function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

function look(element, base, kind) {
  const name = kind ? `${base} ${kind}` : base;
  if (element.className !== name) element.className = name;
}

/** Makes the children of a parent show these items: [text, class]. */
function lines(parent, tag, items) {
  while (parent.children.length > items.length) parent.lastChild.remove();
  items.forEach(([value, kind], i) => {
    const child = parent.children[i] ?? parent.appendChild(document.createElement(tag));
    text(child, value);
    look(child, kind ?? "", "");
  });
}

function drawNode(card, node) {
  if (!card.firstChild) {
    for (const part of ["head", "status", "body"]) card.appendChild(document.createElement("div")).className = part;
  }
  const [head, big, body] = card.children;
  lines(head, "span", [[node.title], [node.here ? "this node" : "the other node", "quiet"]]);
  const [mark, kind] = LOOK[node.status];
  text(big, `${mark} ${node.status}`);
  look(big, "status", kind);
  lines(body, "p", node.lines);
}

function drawNodes(s) {
  const here = {
    title: s.node.mode, here: true, status: s.node.status,
    lines: [
      [s.node.reason || "no reason given", "reason"],
      [`since ${localTime(s.node.since)} (${ago(s.node.since)})`, "quiet"],
      [`id ${s.node.id}, up for ${span(s.node.uptimeS * 1000)}`, "quiet"],
    ],
  };
  let there = { title: "No peer", here: false, status: "Disconnected", lines: [["no redundancy configured", "reason"]] };
  if (s.peer) {
    const p = s.peer;
    const seen = p.lastSeenMs === null ? "never seen" : `last seen ${span(p.lastSeenMs)} ago`;
    there = {
      title: p.mode ?? (s.node.mode === "Master" ? "Backup" : "Master"), here: false, status: p.status,
      lines: [
        [p.connected ? "connected" : "not connected", "reason"],
        [`${seen}${p.missedPings ? `, ${p.missedPings} pings missed` : ""}`, "quiet"],
        [[p.id && `id ${p.id}`, p.address].filter(Boolean).join(", ") || "id not known yet", "quiet"],
      ],
    };
  }
  // The Master stands left on both nodes' pages.
  const swap = s.node.mode === "Backup";
  drawNode($("left"), swap ? there : here);
  drawNode($("right"), swap ? here : there);
}

function drawFacts(s) {
  const p = s.peer;
  const unlike = (value, wrong) => (value === wrong ? "bad" : "");
  const phase = { None: "not following", Full: `full sync, ${Math.floor(s.sync.progress * 100)} %`, Incremental: "incremental" };
  const facts = [
    ["Epoch", `${s.epoch}${s.epochNode ? ` of ${s.epochNode}` : ""}`],
    ["Sync", phase[s.sync.phase], p && s.sync.phase !== "Incremental" ? "warn" : ""],
    ["Behind", `${countText(s.sync.lagUpdates)} changes, ${span(s.sync.lagMs)}`, s.sync.lagUpdates > 1000 ? "warn" : ""],
    ["Change here / there", `${countText(s.sync.localSeq)} / ${s.sync.peerSeq === null ? "?" : countText(s.sync.peerSeq)}`],
    ["Round trip", p?.rttUs == null ? "–" : span(p.rttUs / 1000)],
    ["Link", s.link.state, p && s.link.state !== "Up" ? "warn" : ""],
    ["Authorization", s.authorization, unlike(s.authorization, "Mismatch")],
    ["Configuration", s.configuration, unlike(s.configuration, "Different")],
    ["Recovery", s.recoveryMode],
    ["Standby activity", s.standbyActivityLevel],
  ];
  const list = $("facts");
  facts.forEach(([name, value, kind], i) => {
    let group = list.children[i];
    if (!group) {
      group = list.appendChild(document.createElement("div"));
      group.append(document.createElement("dt"), document.createElement("dd"));
    }
    text(group.children[0], name);
    text(group.children[1], `${kind ? "▲ " : ""}${value}`);
    look(group.children[1], kind ?? "", "");
  });
}

function drawStatus(s) {
  text($("name"), s.node.name);
  text($("version"), `hotpair ${s.node.version}`);
  document.title = `${LOOK[s.node.status][0]} ${s.node.status} – ${s.node.name} (${s.node.mode})`;
  drawNodes(s);
  const ready = $("ready");
  text(ready, s.failoverReady ? "✓ Ready for failover" : s.peer ? "✕ Not ready for failover" : "○ No redundancy configured");
  look(ready, "verdict", s.failoverReady ? "good" : s.peer ? "bad" : "warn");
  lines($("reasons"), "li", s.notReadyReasons.map((reason) => [reason]));
  drawFacts(s);

  const notices = [];
  if (s.hold) {
    const left = span(s.hold.remainingS * 1000);
    notices.push([`▲ Maintenance hold for another ${left}: no automatic failover or recovery. ${s.hold.reason}`, "notice warn"]);
  }
  if (s.switching) notices.push(["◐ A switch is under way.", "notice wait"]);
  if (s.disk) notices.push([`✕ Storage: ${s.disk}`, "notice bad"]);
  if (s.link.refused) notices.push([`✕ Link refused (${s.link.refused.code}): ${s.link.refused.reason}`, "notice bad"]);
  for (const remark of s.link.remarks) notices.push([`▲ ${remark}`, "notice warn"]);
  for (const remark of s.insecure) notices.push([`▲ Not secure: ${remark}`, "notice warn"]);
  lines($("notices"), "li", notices);

  const peer = s.peer ? `, the other node is ${s.peer.status}` : "";
  text($("summary"), `This node is ${s.node.status}${peer}. ${s.failoverReady ? "Ready for failover." : "Not ready for failover."}`);
  $("switch").disabled = !s.peer;
  $("hold").disabled = !s.peer;
  const fault = hasFault(s);
  $("clear-fault").hidden = !fault;
  if (!fault) text($("clear-answer"), "");
  text($("hold"), s.hold ? "Hold: active…" : "Hold…");
  if ($("switch-dialog").open) drawSwitchDialog();
  if ($("hold-dialog").open) drawHoldDialog();
}

function drawFreshness() {
  const silent = performance.now() - lastEvent;
  const stale = lastEvent === 0 ? silent > STALE_AFTER_MS * 2 : silent > STALE_AFTER_MS;
  document.body.classList.toggle("is-stale", stale);
  // The time of the loss, not a running count: an alert that changes would be read aloud again and again.
  if (stale) text($("stale-since"), lostAt);
  $("stale").hidden = !stale;
  const chip = $("connection");
  text(chip, stale ? "✕ no connection" : lastEvent === 0 ? "… connecting" : "✓ live");
  look(chip, "chip", stale ? "bad" : lastEvent === 0 ? "" : "good");
  if (!stale) return;
  const link = $("stale-peer");
  const elsewhere = status?.peer?.http ?? "";
  link.hidden = !/^https?:\/\//.test(elsewhere);
  if (!link.hidden) link.href = elsewhere;
}

async function drawEvents() {
  try {
    const answer = await fetch("api/v1/redundancy/events?limit=50");
    if (!answer.ok) return;
    const events = await answer.json();
    const rows = $("events");
    rows.replaceChildren(...events.map((e) => {
      const row = document.createElement("tr");
      const node = e.node === status?.node.id ? "this node" : e.node === status?.peer?.id ? "other node" : e.node;
      const cells = [localTime(e.time), node, `${e.from} → ${e.to}`, e.cause, String(e.epoch), e.user || "–", e.reason];
      cells.forEach((cell, i) => {
        const td = row.appendChild(document.createElement("td"));
        td.textContent = cell;
        if (i === 0) { td.className = "time"; td.title = e.time; }
      });
      return row;
    }));
  } catch {
    shownEvents = ""; // tried again with the next status
  }
}

/** Reports of values that gave way; most nodes have none. */
async function drawDivergence() {
  try {
    const answer = await fetch("api/v1/redundancy/divergence");
    if (!answer.ok) return;
    const reports = await answer.json();
    $("divergence").hidden = reports.length === 0;
    $("divergence-list").replaceChildren(...reports.map((report) => {
      const item = document.createElement("li");
      const link = item.appendChild(document.createElement("a"));
      link.href = `api/v1/redundancy/divergence/${encodeURIComponent(report.name)}`;
      link.download = report.name;
      link.textContent = localTime(report.time);
      link.title = report.name;
      return item;
    }));
  } catch {
    // tried again with the next look
  }
}

/** Of the node itself. A full disk is none of them: it clears itself. */
function hasFault(s) {
  const reasons = s.node.status === "Running" ? [s.node.reason] : [s.node.reason, ...s.notReadyReasons];
  return s.node.status === "Faulted" || reasons.some((reason) => /keeps failing|epoch cannot be stored/.test(reason));
}

// ---- acting ----

/** Sends an order; the answer is null, or the text of why it was refused. */
async function order(method, path, body) {
  try {
    const answer = await fetch(`api/v1/redundancy/${path}`, {
      method, headers: body ? { "Content-Type": "application/json" } : {}, body: body && JSON.stringify(body),
    });
    if (answer.ok) {
      status = await answer.json();
      drawStatus(status);
      return null;
    }
    return (await answer.json()).error.message;
  } catch {
    return "No answer from this node. What became of the order is not known: look at both nodes.";
  }
}

let switchEpoch = 0;

function drawSwitchDialog() {
  const s = status;
  const runsHere = s.node.status === "Running";
  const other = s.peer?.mode ?? "other node";
  const [from, to] = runsHere ? [`this ${s.node.mode}`, `the ${other}`] : [`the ${other}`, `this ${s.node.mode}`];
  text($("switch-title"), `Move Running to ${to}?`);
  text($("switch-what"), `Running moves from ${from} to ${to}. Writes wait for the moment of the switch; sources and alarms go on there. Pressing Switch again moves it back.`);
  const notes = s.notReadyReasons.map((reason) => [`✕ Refused now: ${reason}`]);
  if (!s.failoverReady && notes.length === 0) notes.push(["✕ Refused now: the Standby node is not ready"]);
  if (s.epoch !== switchEpoch) notes.push(["▲ Running has moved since you opened this: close and look again"]);
  if (s.authorization === "Mismatch") notes.push(["▲ The nodes' licence modules differ: something may be missing there"]);
  if (s.configuration === "Different") notes.push(["▲ The nodes' projects differ"]);
  if (s.hold) notes.push([`▲ A maintenance hold is active: ${s.hold.reason || "no reason given"}`]);
  lines($("switch-notes"), "li", notes);
}

function busy(button, label) {
  const before = button.textContent;
  button.disabled = true;
  button.textContent = label;
  return () => { button.disabled = false; button.textContent = before; };
}

$("switch").addEventListener("click", () => {
  if (!status) return;
  switchEpoch = status.epoch;
  text($("switch-answer"), "");
  $("switch-reason").value = "";
  drawSwitchDialog();
  $("switch-dialog").showModal();
});

$("switch-go").addEventListener("click", async () => {
  const done = busy($("switch-go"), "Switching…");
  text($("switch-answer"), "");
  const refused = await order("POST", "switch", { reason: $("switch-reason").value, expectedEpoch: switchEpoch });
  done();
  if (refused) text($("switch-answer"), `✕ Refused: ${refused}`);
  else $("switch-dialog").close();
});

$("clear-fault").addEventListener("click", async () => {
  const done = busy($("clear-fault"), "Clearing…");
  text($("clear-answer"), "");
  const refused = await order("POST", "clearFault", {});
  done();
  if (refused) text($("clear-answer"), `✕ Refused: ${refused}`);
});

function drawHoldDialog() {
  const hold = status.hold;
  text($("hold-now"), hold ? `Active until ${localTime(hold.until)}. ${hold.reason}` : "None is active.");
  text($("hold-go"), hold ? "Change hold" : "Start hold");
  $("hold-end").hidden = !hold;
}

$("hold").addEventListener("click", () => {
  if (!status) return;
  text($("hold-answer"), "");
  drawHoldDialog();
  $("hold-dialog").showModal();
});

async function changeHold(method, body) {
  const refused = await order(method, "hold", body);
  if (refused) text($("hold-answer"), `✕ Refused: ${refused}`);
  else $("hold-dialog").close();
}

$("hold-go").addEventListener("click", () => {
  const minutes = $("hold-minutes");
  if (minutes.reportValidity() && minutes.value) {
    changeHold("POST", { minutes: Number(minutes.value), reason: $("hold-reason").value });
  }
});
$("hold-end").addEventListener("click", () => changeHold("DELETE"));

// Enter in a field would press the first button of the form: it shall do what the dialog is for.
for (const [field, button] of [["switch-reason", "switch-go"], ["hold-reason", "hold-go"], ["hold-minutes", "hold-go"]]) {
  $(field).addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    $(button).click();
  });
}

// ---- living ----

function listen() {
  const stream = new EventSource("api/v1/redundancy/stream");
  stream.addEventListener("status", (event) => {
    lastEvent = performance.now();
    lostAt = localTime(new Date());
    status = JSON.parse(event.data);
    drawStatus(status);
    drawFreshness();
    const now = `${status.epoch} ${status.node.status} ${status.peer?.status} ${status.node.since}`;
    if (now !== shownEvents) {
      shownEvents = now;
      drawEvents();
      drawDivergence();
    }
  });
  stream.addEventListener("error", () => {
    // A browser gives up for good when the answer was an error; then we begin anew.
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 1000);
  });
}

listen();
startAlarms();
startTags($("filter"), $("tags"), $("tags-count"), valueText);
setInterval(drawFreshness, 500);
setInterval(drawDivergence, 30_000);
