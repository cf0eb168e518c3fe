/** Asks for the ops token, once for a session of the browser's tab. */
import { byId } from './dom.ts'

/** @param wasRefused whether a token was given already, and was wrong */
export function askForToken(wasRefused: boolean): Promise<string> {
  const dialog = byId<HTMLDialogElement>('token-dialog')
  const input = byId<HTMLInputElement>('token')
  byId('token-refused').hidden = !wasRefused
  input.value = ''
  if (!dialog.open) dialog.showModal()
  input.focus()
  return new Promise((resolve) => {
    const form = byId<HTMLFormElement>('token-form')
    const submit = (event: Event) => {
      event.preventDefault()
      const token = input.value.trim()
      if (token === '') return
      form.removeEventListener('submit', submit)
      dialog.close()
      resolve(token)
    }
    form.addEventListener('submit', submit)
    // there is nothing to see without it
    dialog.oncancel = (event) => event.preventDefault()
  })
}
