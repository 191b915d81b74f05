// Server-sent events from a stream of bytes. Not the browser's EventSource: that one sends no header, and the key must not stand in an address.

/** Takes chunks of text, gives whole events to `tell`: {id, event, data}. Comments keep the line alive and are told as null. */
export class SseReader {
  #rest = "";
  #fields = {};

  constructor(tell) {
    this.tell = tell;
  }

  take(text) {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line.endsWith("\r") ? line.slice(0, -1) : line);
  }

  #line(line) {
    if (line === "") {
      if ("data" in this.#fields) this.tell(this.#fields);
      this.#fields = {};
    } else if (line.startsWith(":")) {
      this.tell(null);
    } else {
      const at = line.indexOf(":");
      const name = at < 0 ? line : line.slice(0, at);
      const value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
      this.#fields[name] = name === "data" && "data" in this.#fields ? `${this.#fields.data}\n${value}` : value;
    }
  }
}
