// Links that come from elsewhere: in this page's address, from a bookmarklet, a share sheet or a Shortcut.

/** The link of `?url=` (also `?text=` or `?title=`, where some programs share it) or `#url=`, taken out of the address. */
export function linkFromAddress() {
  const query = new URLSearchParams(location.search);
  const inHash = /[#&]url=([^&]+)/.exec(location.hash);
  const found = ['url', 'text', 'title'].map((name) => query.get(name)).find(Boolean) ?? (inHash && decoded(inHash[1]));
  if (!found) return null;
  const hash = location.hash.replace(/([#&])url=[^&]*&?/, '$1').replace(/[#&]$/, '');
  history.replaceState(null, '', location.pathname + hash);
  return found.trim() || null;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Fills this server's own address into the ways that the panel explains. */
export function showWays() {
  const address = `${location.origin}${location.pathname}?url=`;
  for (const id of ['shortcut-url', 'address-url']) document.getElementById(id).textContent = address;
  document.getElementById('bookmarklet').href = `javascript:location.href=${JSON.stringify(address)}+encodeURIComponent(location.href)`;
  document.getElementById('bookmarklet').addEventListener('click', (event) => event.preventDefault()); // it is for other pages
  document.getElementById('needs-https').hidden = isSecureContext;
}
