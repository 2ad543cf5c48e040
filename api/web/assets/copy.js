// Buttons that copy a text. They are hidden until there is a clipboard to copy to.

export function copies(root) {
  for (const button of root.querySelectorAll("button.copy")) {
    button.hidden = false;
    if (button.dataset.ready) continue;
    button.dataset.ready = "yes";
    button.addEventListener("click", () => copy(button));
  }
}

async function copy(button) {
  const ok = await put(button.dataset.copy);
  const text = button.querySelector(".copy-text");
  text.textContent = ok ? "Copied" : "Press Ctrl+C";
  button.classList.toggle("done", ok);
  say(ok ? "Copied" : "Not copied");
  clearTimeout(button.timer);
  button.timer = setTimeout(() => {
    text.textContent = "Copy";
    button.classList.remove("done");
  }, 2000);
}

async function put(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return selected(text); // no clipboard without TLS
  }
}

function selected(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "vh";
  document.body.append(area);
  area.select();
  const ok = document.execCommand("copy");
  area.remove();
  return ok;
}

function say(text) {
  document.getElementById("announce").textContent = text;
}
