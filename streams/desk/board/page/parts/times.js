// Times come as Unix nanoseconds or as RFC 3339 text; desks live in UTC.

export const secondsOf = (ns) => ns / 1e9;

export function clock(ns) {
  return ns === null || ns === undefined ? "–" : new Date(ns / 1e6).toISOString().slice(11, 19);
}

export function day(ns) {
  return new Date(ns / 1e6).toISOString().slice(0, 10);
}

export function whole(ns) {
  return ns === null || ns === undefined ? "" : `${new Date(ns / 1e6).toISOString().replace("T", " ").slice(0, 23)} UTC`;
}

export function span(seconds) {
  const size = Math.abs(seconds);
  if (size < 10) return `${seconds.toFixed(1)} s`;
  if (size < 120) return `${Math.round(seconds)} s`;
  if (size < 7200) return `${Math.floor(seconds / 60)} min`;
  if (size < 172800) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d`;
}

export const millisecondsOf = (rfc3339) => (rfc3339 ? Date.parse(rfc3339) : NaN);
