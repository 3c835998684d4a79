import { useEffect, useRef, useState } from 'preact/hooks'
import { gatewayPath } from '../base-path.ts'
import { signOut, useCaller } from '../caller.ts'
import { describeEdge } from '../edge/edge-status.ts'
import { errorText } from './api.ts'
import { escapeLine } from './escape-control-chars.ts'
import { type Children, html, type View } from './html.ts'
import { chooseLanguage, language } from './i18n.ts'
import { Icon } from './icons.ts'
import { sharedText as t } from './messages.ts'
import { type GatewayState, useGatewayState } from './readiness.ts'
import type { Route } from './router.ts'
import { session } from './session.ts'
import { SignIn } from './sign-in.ts'
import { useSignalValue } from './signal.ts'
import { nextTheme, theme } from './theme.ts'

const STATES = {
  unknown: 'gatewayUnknown',
  ready: 'gatewayReady',
  behind: 'gatewayBehind',
  faulty: 'gatewayFaulty',
  gone: 'gatewayGone',
} as const

const THEMES = {
  system: { icon: 'screen', label: 'themeSystem' },
  light: { icon: 'sun', label: 'themeLight' },
  dark: { icon: 'moon', label: 'themeDark' },
} as const

const formatFaults = (state: GatewayState): string =>
  state.is === 'faulty' ? state.faults.map(({ component, code }) => `${component}: ${code}`).join(', ') : ''

const GatewayStatus = (): View => {
  const state = useGatewayState()
  const faults = escapeLine(formatFaults(state))
  const edge = state.edge === undefined ? '' : escapeLine(describeEdge(state.edge))
  return html`
    <a class="gateway-mark" id="gateway" href=${gatewayPath('/health')} data-is=${state.is} title=${[faults, edge].filter(Boolean).join(' · ') || null}>
      <span class="dot" aria-hidden="true"></span>
      <span><span class="gateway-name">${t('gateway')}</span>${t(STATES[state.is])}</span>
      ${faults !== '' && html`<span class="gateway-faults">(${faults})</span>`}
      ${edge !== '' && html`<span class="gateway-faults" id="edge">${edge}</span>`}
    </a>
  `
}

/** Signs out in all tabs, and shows if that has failed. Nothing if the token was not entered here. */
const SignOut = (): View => {
  const caller = useCaller()
  const [problem, setProblem] = useState('')
  if (caller?.session !== true) return null
  const onClick = (): void => {
    setProblem('')
    signOut().catch((error) => setProblem(errorText(error)))
  }
  return html`
    ${problem !== '' && html`<span class="problem" role="alert">${problem}</span>`}
    <button type="button" class="quiet square" id="sign-out" aria-label=${t('signOut')} title=${t('signOut')} onClick=${onClick}>
      <${Icon} name="out" />
    </button>
  `
}

const Preferences = (): View => {
  const look = THEMES[useSignalValue(theme)]
  const other = language.get() === 'zh' ? 'en' : 'zh'
  return html`
    <div class="choices">
      <button
        type="button"
        class="quiet"
        id="language"
        lang=${other === 'zh' ? 'zh-CN' : 'en'}
        aria-label=${t('otherLanguageLabel')}
        onClick=${() => chooseLanguage(other)}
      >
        ${t('otherLanguage')}
      </button>
      <button type="button" class="quiet square" id="theme" aria-label=${t(look.label)} title=${t(look.label)} onClick=${nextTheme}>
        <${Icon} name=${look.icon} />
      </button>
      <${SignOut} />
    </div>
  `
}

const NavLink = ({
  to,
  here,
  children,
}: {
  readonly to: string
  readonly here: boolean
  readonly children?: Children
}): View => html`<a href=${gatewayPath(to)} aria-current=${here ? 'page' : null}>${children}</a>`

/** Page header, and below it the page itself, or the sign-in form if the gateway has not accepted a request yet. */
export const Layout = ({ at, children }: { readonly at: Route['page']; readonly children?: Children }): View => {
  const { wanted, accepted } = useSignalValue(session)
  const isCovered = wanted !== null && !accepted
  const loaded = useRef(false)
  useEffect(() => {
    // CSS: the room fills the window, the other pages scroll.
    document.documentElement.dataset.page = isCovered ? 'sign-in' : at
    // After navigation, screen readers start at the content; after loading, at the beginning as usual.
    if (loaded.current) document.getElementById('main')?.focus({ preventScroll: true })
    loaded.current = true
  }, [at, isCovered])
  return html`
    <a class="skip" href="#main" onClick=${skip}>${t('skip')}</a>
    <header class="bar">
      <a class="brand" href=${gatewayPath('/')} aria-label="deepsoc-gateway"><${Icon} name="logo" /><span>deepsoc-gateway</span></a>
      <nav aria-label=${t('pages')}>
        <${NavLink} to="/" here=${at === 'events'}>${t('events')}</${NavLink}>
        <${NavLink} to="/health" here=${at === 'health'}>${t('health')}</${NavLink}>
      </nav>
      <${GatewayStatus} />
      <${Preferences} />
    </header>
    ${isCovered ? null : children}
    ${wanted !== null && html`<${SignIn} reason=${wanted} isRenewal=${accepted} />`}
  `
}

/** Handles the skip link without changing the hash, which selects a message. */
const skip = (event: Event): void => {
  event.preventDefault()
  document.getElementById('main')?.focus()
}
