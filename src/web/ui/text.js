// Numbers and times as people read them.

/** `2026-01-05 08:00:00`, in the time zone of the browser. */
export function localTime(text) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return "–";
  const two = (n) => String(n).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** A duration in its two greatest units. */
export function span(ms) {
  if (ms < 1) return `${Number(ms.toFixed(2))} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** How long ago a time was, by this machine's clock. */
export function ago(text) {
  return `${span(Math.max(0, Date.now() - new Date(text).getTime()))} ago`;
}

/** 90,144 */
export function countText(n) {
  return n.toLocaleString("en-US");
}

/** A value of a tag. */
export function valueText(value, type) {
  if (value === null) return "–";
  if (type === "Float64") return String(Number(value.toPrecision(6)));
  if (type === "DateTime") return localTime(value);
  return String(value);
}
