import type { ClusterCheck } from '../../../monitoring/cluster-report.ts'
import { defineMessages, language } from '../shared/i18n.ts'

/** Texts of the section about the cluster. */
export const clusterText = defineMessages({
  en: {
    title: 'Cluster',
    safe: 'Safe: every check has passed.',
    unsafe: 'Not safe: a check has failed.',
    level_ok: '✓',
    level_warning: 'warning',
    level_failed: 'failed',
    hint: 'What to do',
    gateways: 'Gateways',
    gateway: 'Gateway',
    own: 'this one',
    state: 'State',
    stateReady: 'ready',
    stateFaulty: 'not ready',
    stateGone: 'gone',
    consumer: 'Consumer',
    consumerActive: 'active',
    consumerWaiting: 'waiting',
    consumerNone: 'none',
    version: 'Version',
    clock: 'Clock',
    retention: 'Retention',
    days: '{n} {n:day|days}',
    perEvent: '{n} per event',
    unlimited: 'unlimited',
    readers: 'Subscribers',
    lastSeen: 'Seen ago',
  },
  zh: {
    title: '集群',
    safe: '安全：全部检查通过。',
    unsafe: '不安全：有检查未通过。',
    level_ok: '✓',
    level_warning: '警告',
    level_failed: '未通过',
    hint: '处理办法',
    gateways: '网关列表',
    gateway: '网关',
    own: '本机',
    state: '状态',
    stateReady: '正常',
    stateFaulty: '未就绪',
    stateGone: '已失联',
    consumer: '消费者',
    consumerActive: '消费中',
    consumerWaiting: '待命',
    consumerNone: '未消费',
    version: '版本',
    clock: '时钟偏差',
    retention: '保留',
    days: '{n} 天',
    perEvent: '每事件 {n} 条',
    unlimited: '不限',
    readers: '订阅者',
    lastSeen: '距上次上报',
  },
})

const NAMES: Readonly<Record<ClusterCheck['check'], readonly [en: string, zh: string]>> = {
  database: ['Database', '数据库'],
  standby: ['Standby', '备库'],
  consumer: ['Consumer', '消费者'],
  gateways: ['Gateways', '网关'],
  clocks: ['Clocks', '时钟'],
  versions: ['Versions', '版本'],
  retention: ['Retention', '保留策略'],
}

/** Chinese texts and hints by code; `{}` is replaced by the names. */
const CHINESE: Readonly<Record<string, readonly [text: string, hint: string]>> = {
  database_failed: ['无法使用数据库。', '上面的故障说明了原因。在恢复之前，其他网关的状态未知。'],
  one_primary: ['只有一个主库，时间线 {}。', ''],
  several_primaries: [
    '旧主库与新主库同时接受写入：{}。',
    '请停止旧主库。故障切换后写入旧主库的数据不在任何其他服务器上。然后用 pg_rewind 或 pg_basebackup 将其重建为备库。',
  ],
  standby_not_configured: [
    '没有同步备库：synchronous_standby_names 为空。',
    '故障切换会丢失已确认的消息。请在 PostgreSQL 中设置 synchronous_standby_names。',
  ],
  standby_hidden: [
    'DATABASE_URL 的用户无权查看备库状态。',
    '请以数据库服务器的管理员身份执行：GRANT pg_read_all_stats TO 该用户。',
  ],
  standby_missing: [
    '没有同步备库在接收数据；synchronous_standby_names 为 {}。',
    '在此期间不会确认任何消息。请启动备库，并检查其 primary_conninfo 和 application_name。',
  ],
  standby_streams: ['正在接收数据的同步备库：{} 个。', ''],
  no_broker: ['没有消息代理，消息经 HTTP 到达。', ''],
  one_consumer: ['消费中：{}。', ''],
  consumer_unknown: ['有网关在消费，但尚未收到消息。', ''],
  several_consumers: [
    '多个网关同时收到消息：{}。',
    '切换期间几秒内会自行消失。否则请检查各主机的 RABBITMQ_URL、RABBITMQ_EXCHANGE 和 RABBITMQ_QUEUE 是否一致。',
  ],
  no_consumer: ['没有网关在消费队列。', '消息在 RabbitMQ 中等待。在各主机上运行 deepsoc-gateway health 可查看原因。'],
  gateways_ready: ['就绪：{}。', ''],
  gateways_gone: ['已失联：{}。', '请重新启动。如果是有意移除的：最后一次上报 10 分钟后会从列表中消失。'],
  gateways_not_ready: ['未就绪：{}。', '在该主机上运行 deepsoc-gateway health 可查看原因。'],
  clocks_agree: ['与数据库的偏差均在 5 秒以内。', ''],
  clocks_differ: [
    '时钟与数据库不一致：{}。',
    '请同步时钟，例如使用 chrony。数据保留和吊销以数据库时钟为准，令牌过期以本机时钟为准。',
  ],
  versions_compatible: ['版本兼容：{}。', ''],
  versions_behind: ['数据库结构落后一个版本：{}。', '它会继续运行，但无法再次启动。请接着升级它。'],
  versions_incompatible: ['版本过旧：{}。', '请升级。它不会确认任何消息。'],
  retention_agrees: ['各主机的保留策略一致。', ''],
  retention_differs: [
    '各主机的 RETENTION_DAYS 或 RETENTION_MESSAGES_PER_EVENT 不一致：{}。',
    '最小的限制对所有主机生效。请在各主机上统一设置。',
  ],
}

const getChineseTexts = ({ code, names }: ClusterCheck): readonly [text: string, hint: string] | undefined => {
  if (language.get() !== 'zh' || !Object.hasOwn(CHINESE, code)) return undefined
  const [text, hint] = CHINESE[code]!
  return [text.replace('{}', names.length === 0 ? '–' : names.join('、')), hint]
}

export const checkName = ({ check }: ClusterCheck): string => NAMES[check][language.get() === 'zh' ? 1 : 0]

/** Returns what was found, in the language of the page. */
export const checkText = (check: ClusterCheck): string => getChineseTexts(check)?.[0] ?? check.text

/** Returns what to do, in the language of the page; empty if nothing. */
export const checkHint = (check: ClusterCheck): string => getChineseTexts(check)?.[1] ?? check.hint
