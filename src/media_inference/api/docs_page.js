"use strict";

const token = document.getElementById("token");

function request(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  const options = { method: form.dataset.method, headers: {} };
  for (const field of form.elements) {
    if (field.dataset.in === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
    else if (field.dataset.in === "query") query.set(field.name, field.value);
    else if (field.name === "body") {
      options.body = field.value;
      options.headers["Content-Type"] = "application/json";
    } else if (field.name === "file") options.body = new FormData(form);
  }
  if (token.value) options.headers.Authorization = `Bearer ${token.value}`;
  return [path.slice(1) + (query.size ? `?${query}` : ""), options];
}

async function show(response, output) {
  const type = response.headers.get("Content-Type") || "";
  const status = `${response.status} ${response.statusText}\n`;
  if (type.startsWith("image/")) {
    const picture = new Image();
    picture.src = URL.createObjectURL(await response.blob());
    output.replaceChildren(status, picture);
    return;
  }
  const text = await response.text();
  output.textContent = status + (type.includes("json") ? JSON.stringify(JSON.parse(text), null, 2) : text);
}

for (const form of document.forms) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.dataset.method === "DELETE" && !confirm("This removes things. Go on?")) return;
    const output = form.nextElementSibling;
    output.hidden = false;
    try {
      await show(await fetch(...request(form)), output);
    } catch (error) {
      output.textContent = String(error);
    }
  });
}

function open() {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
}
addEventListener("hashchange", open);
open();
