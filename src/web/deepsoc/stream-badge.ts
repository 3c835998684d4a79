import type { ChannelState, ChannelStatus } from '../client/index.ts'
import { isTokenReason } from './page-token.ts'

/** Text of the badge on DeepSOC's page, which is in Chinese. `look` is one of the page's own `status-` classes. */
interface BadgeContent {
  readonly text: string
  readonly title: string
  readonly look: 'connected' | 'connecting' | 'reconnecting' | 'error'
}

const STATES: Readonly<Record<ChannelState, readonly [text: string, look: BadgeContent['look']]>> = {
  connecting: ['连接中', 'connecting'],
  catching_up: ['同步中', 'connecting'],
  live: ['实时', 'connected'],
  waiting: ['连接断开', 'reconnecting'],
  closed: ['已停止', 'error'],
}

const REASONS: Readonly<Record<string, string>> = {
  shutdown: '网关正在重启',
  max_age: '连接已达最长时限',
  connection_lost: '连接中断',
  heartbeat_timeout: '超过两个心跳周期没有数据',
  unreachable: '无法连接网关',
  offline: '浏览器处于离线状态',
  not_a_stream: '响应不是来自网关',
  tab_frozen: '标签页已被浏览器休眠',
}

/** Returns the text for a state of the stream. Pure. */
export const describeStream = ({ state, reason }: Pick<ChannelStatus, 'state' | 'reason'>): BadgeContent => {
  const [name, look] = STATES[state]
  if (isTokenReason(reason)) {
    return { text: '网关：登录已过期', title: '请重新登录 DeepSOC；登录后自动继续，不会漏消息。', look: 'error' }
  }
  if (reason?.status === 403) return { text: '网关：无权查看此事件', title: reasonText(reason), look: 'error' }
  const next = state === 'waiting' || state === 'closed' ? '点击立即重试。' : ''
  return { text: `网关：${name}`, title: [reasonText(reason), next].filter(Boolean).join('\n'), look }
}

const reasonText = (reason: ChannelStatus['reason']): string => {
  if (reason === null) return ''
  const known = Object.hasOwn(REASONS, reason.code) ? REASONS[reason.code] : undefined
  return [known ?? reason.message ?? reason.code, reason.hint].filter(Boolean).join('\n')
}

/** A badge beside DeepSOC's own connection status, or at the edge of the window if the page has none. */
export class StreamBadge {
  readonly #element = document.createElement('div')

  /** @param onClick called for a click on the badge */
  constructor(onClick: () => void) {
    const beside = document.getElementById('connection-status')
    this.#element.id = 'gateway-status'
    this.#element.setAttribute('role', 'status')
    const place = beside === null ? 'position:fixed;right:8px;bottom:8px;z-index:9999;' : 'margin-left:8px;'
    this.#element.style.cssText = `${place}padding:3px 8px;border-radius:10px;font-size:0.75rem;cursor:pointer;color:#fff`
    this.#element.addEventListener('click', onClick)
    if (beside === null) document.body.append(this.#element)
    else beside.after(this.#element)
  }

  show({ text, title, look }: BadgeContent): void {
    this.#element.textContent = text
    this.#element.title = title
    this.#element.className = `status-${look}`
  }
}
