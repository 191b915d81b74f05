// Where one is: `#/` the book, `#/account/NAME` one account. The back key works, and an address can be sent to a colleague: no key is in it.

export function place() {
  const found = /^#\/account\/(.+)$/.exec(location.hash);
  if (!found) return { page: "book" };
  try {
    return { page: "account", account: decodeURIComponent(found[1]) };
  } catch {
    return { page: "book" };
  }
}

export function onPlace(listener) {
  addEventListener("hashchange", () => listener(place()));
  listener(place());
}
