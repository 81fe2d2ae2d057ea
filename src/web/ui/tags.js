// The table of tags: asked for each second, patched in place.
import { localTime } from "./text.js";

const LIMIT = 200;
const EVERY_MS = 1000;

/** Keeps a table's body showing the tags that fit the filter. */
export function startTags(filter, body, count, valueText) {
  const rows = new Map();
  let asked = 0;
  let timer = 0;

  async function refresh() {
    clearTimeout(timer);
    const number = ++asked;
    if (!document.hidden) {
      try {
        const answer = await fetch(`api/v1/tags?path=${encodeURIComponent(pattern(filter.value))}&limit=${LIMIT}`);
        // An answer to an older filter comes too late.
        if (number === asked && answer.ok) {
          const clock = Date.parse(answer.headers.get("Date") ?? "") || Date.now();
          draw(await answer.json(), answer.headers.get("Hotpair-Truncated") === "true", clock);
        }
      } catch {
        // The notice "values are stale" tells; we go on asking.
      }
    }
    if (number === asked) timer = setTimeout(refresh, EVERY_MS);
  }

  function draw(tags, more, clock) {
    const text = more ? `the first ${tags.length} are shown` : tags.length === 1 ? "1 tag" : `${tags.length} tags`;
    if (count.textContent !== text) count.textContent = text;
    const wanted = new Set(tags.map((tag) => tag.path));
    for (const [path, row] of rows) {
      if (!wanted.has(path)) { row.remove(); rows.delete(path); }
    }
    tags.forEach((tag, i) => {
      let row = rows.get(tag.path);
      if (!row) {
        row = makeRow(tag);
        rows.set(tag.path, row);
      }
      if (body.children[i] !== row) body.insertBefore(row, body.children[i] ?? null);
      fill(row, tag, clock, valueText);
    });
  }

  let typing = 0;
  filter.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(refresh, 200); });
  document.addEventListener("visibilitychange", refresh);
  refresh();
}

/** A part of a path is looked for anywhere in it. */
function pattern(filter) {
  const text = filter.trim();
  return text.includes("*") ? text : text ? `*${text}*` : "*";
}

function makeRow(tag) {
  const row = document.createElement("tr");
  const path = document.createElement("th");
  path.scope = "row";
  path.textContent = tag.path;
  path.title = tag.description;
  row.append(path, ...Array.from({ length: 4 }, () => document.createElement("td")));
  row.children[1].className = "number";
  row.children[2].textContent = tag.unit;
  row.children[4].className = "time";
  return row;
}

function fill(row, tag, clock, valueText) {
  const [, value, , quality, time] = row.children;
  const old = tag.staleAfterMs !== null && clock - Date.parse(tag.time) > tag.staleAfterMs + 1000;
  const bad = tag.quality.startsWith("Bad") || tag.quality.startsWith("Error");
  const doubtful = old || tag.quality.startsWith("Uncertain");
  set(value, valueText(tag.value, tag.type));
  set(quality, `${bad ? "✕ " : doubtful ? "▲ " : ""}${tag.quality}${old ? ", stale" : ""}`);
  const kind = bad ? "bad" : doubtful ? "warn" : "";
  if (quality.className !== kind) quality.className = kind;
  set(time, localTime(tag.time));
  if (time.title !== tag.time) time.title = tag.time;
}

function set(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}
