// Asking the API: the key in a header, problems as errors that say what a person can do, and `at` where a recorded day is shown.

import * as session from "./session.js";

const ASK_MS_MAX = 20_000;
/** The API is one step above the page, also behind a proxy that gives it a path. */
const ROOT = new URL("..", document.baseURI).pathname.replace(/\/$/, "");

export class Refusal extends Error {
  constructor(status, problem, retryAfterS) {
    super(problem.detail || problem.title || `the API answered ${status}`);
    this.status = status;
    this.kind = (problem.type ?? "").split(":").pop();
    this.retryAfterS = retryAfterS;
  }
}

let moment = null;

/** Ask of this moment of a recorded day (text, Unix ns) from now on. */
export function askAt(timeNs) {
  moment = timeNs;
}

export function headersOf(key = session.key()) {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

export function addressOf(path, query = {}) {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") asked.append(name, value);
  }
  if (moment !== null) asked.set("at", moment);
  const text = asked.toString();
  return ROOT + (text ? `${path}?${text}` : path);
}

/** The answer's envelope. Raises Refusal, or what fetch raises where nobody answers. */
export async function ask(path, { query, body, key, signal } = {}) {
  const bounds = [AbortSignal.timeout(ASK_MS_MAX), ...(signal ? [signal] : [])];
  const response = await fetch(addressOf(path, query), {
    method: body === undefined ? "GET" : "POST",
    headers: { ...headersOf(key), ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
    signal: AbortSignal.any(bounds),
  });
  if (!response.ok) throw await refusalOf(response);
  return response.json();
}

export async function refusalOf(response) {
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // a proxy's own page: the status says enough
  }
  return new Refusal(response.status, problem, Number(response.headers.get("retry-after")) || 0);
}
