// “Send links from anywhere”: ways to this page from other apps and pages, with this page's own address filled in.

const $ = (id) => document.getElementById(id);

export function showWays() {
  const address = new URL('.', document.baseURI).href;
  const opener = `${address}?url=`;
  $('bookmarklet').href = `javascript:void open(${JSON.stringify(opener)}+encodeURIComponent(location.href))`;
  $('bookmarklet').addEventListener('click', (event) => event.preventDefault()); // it is for other pages
  for (const element of document.querySelectorAll('.own-address')) element.textContent = opener;
  $('install-needs-https').hidden = isSecureContext;
  const copy = $('copy-address');
  copy.hidden = !navigator.clipboard?.writeText;
  copy.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(opener);
      copy.textContent = 'Copied';
    } catch {
      copy.textContent = 'Select it and copy it by hand';
    }
  });
}
