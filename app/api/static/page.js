// What pages for people share: elements, and the API with the key that is kept in this tab.

const KEY = "api-key";
const at = id => document.getElementById(id);
let afterKey = null;

/** `how`: a class, or attributes. Content that is not there is left out. */
function filled(element, how, content) {
  const attributes = typeof how === "string" ? { class: how } : how;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...content.flat(2).filter(Boolean));
  return element;
}
const make = (tag, how, ...content) => filled(document.createElement(tag), how, content);

/** What `read` makes of the response. Throws a problem: title, detail, status, and what else the service says. */
async function call(path, { headers, ...options } = {}, read = response => response) {
  const key = sessionStorage.getItem(KEY);
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...headers, ...key && { "X-API-Key": key } } });
    if (response.ok) return await read(response);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw { title: "No answer", detail: "The service can't be reached, or closed the connection." };
  }
  const problem = await response.json().catch(() => ({ title: `The service answered ${response.status}` }));
  throw { ...problem, status: response.status, request: response.headers.get("X-Request-ID"), wait: response.headers.get("Retry-After") };
}

/** `work` is done when there is a key. */
function askForKey(work) {
  afterKey = work;
  at("key-form").hidden = false;
  at("key").focus();
}

at("key-form").addEventListener("submit", event => {
  event.preventDefault();
  sessionStorage.setItem(KEY, at("key").value);
  at("key").value = "";
  at("key-form").hidden = true;
  at("forget").hidden = false;
  afterKey();
});
at("forget").addEventListener("click", () => { sessionStorage.clear(); location.reload(); });
at("forget").hidden = !sessionStorage.getItem(KEY);
