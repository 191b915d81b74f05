// The key of who looks. It comes behind `#key=` (which browsers send to nobody) or is typed in, and stays in this tab until it is closed.

const PLACE = "unimargin-key";

export function takeKeyFromAddress() {
  const found = /^#key=([^&]+)/.exec(location.hash);
  if (!found) return;
  keep(decodeURIComponent(found[1]));
  history.replaceState(null, "", `${location.pathname}${location.search}#/`);
}

export const key = () => sessionStorage.getItem(PLACE);
export const keep = (text) => sessionStorage.setItem(PLACE, text);
export const forget = () => sessionStorage.removeItem(PLACE);
