import { useEffect, useState } from 'preact/hooks'
import { signIn } from '../caller.ts'
import { errorText } from './api.ts'
import { html, type View } from './html.ts'
import { sharedText as t } from './messages.ts'
import { dismissSignIn } from './session.ts'

interface SignInProps {
  readonly reason: string
  /** The token has ended: the form lies over the page, which stays. Otherwise the form is shown instead of the page. */
  readonly isRenewal: boolean
}

/** Sign-in form, shown while the gateway requires a token. */
export const SignIn = ({ reason, isRenewal }: SignInProps): View => {
  const [token, setToken] = useState('')
  const [problem, setProblem] = useState('')
  const [checking, setChecking] = useState(false)
  useEffect(() => {
    if (isRenewal) document.getElementById('token')?.focus()
  }, [isRenewal])

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault()
    setChecking(true)
    try {
      // A pasted token can include "Bearer" and line breaks.
      await signIn(token.replace(/^\s*Bearer\s+/i, '').replace(/\s+/g, ''))
    } catch (error) {
      setProblem(errorText(error))
      setChecking(false)
    }
  }

  const form = html`
    <form class="panel sign-in" onSubmit=${submit}>
      <h1 id="sign-in-title">${t(isRenewal ? 'renewTitle' : 'tokenTitle')}</h1>
      <p class="faint">${t('tokenWhy', { reason })}</p>
      <p>${t(isRenewal ? 'renewHow' : 'tokenHow')}</p>
      <label for="token">${t('tokenLabel')}</label>
      <input
        id="token"
        class="mono"
        type="password"
        required
        autocomplete="off"
        spellcheck=${false}
        value=${token}
        onInput=${(event: InputEvent) => setToken((event.target as HTMLInputElement).value)}
      />
      <p class="problem" role="alert">${problem}</p>
      <div class="sign-in-buttons">
        <button type="submit" class="primary" disabled=${checking}>${checking ? t('tokenChecking') : t('tokenUse')}</button>
        ${isRenewal && html`<button type="button" class="quiet" id="later" onClick=${dismissSignIn}>${t('renewLater')}</button>`}
      </div>
    </form>
  `
  return isRenewal
    ? html`<div class="sign-in-over" role="dialog" aria-labelledby="sign-in-title">${form}</div>`
    : html`<main class="narrow" id="main" tabindex="-1">${form}</main>`
}
