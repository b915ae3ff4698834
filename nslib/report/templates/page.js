/* Copies the command of a cell. Everything else on the page works without a script. */
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const command = button.previousElementSibling;
    let copied = true;
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch {
      /* pages opened from a file may not write to the clipboard: the text is selected instead */
      getSelection().selectAllChildren(command);
      copied = document.execCommand("copy");
    }
    button.textContent = copied ? "copied" : "selected: copy it by hand";
  });
}
