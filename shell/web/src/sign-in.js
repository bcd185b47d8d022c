// Sends the key that stands behind # in a sign-in link, so that it is in no log and in no history of requests.
const key = new URLSearchParams(location.hash.slice(1)).get("k");
if (key) {
  history.replaceState(null, "", location.pathname);
  const form = document.querySelector("form");
  form.elements.key.value = key;
  form.submit();
}
