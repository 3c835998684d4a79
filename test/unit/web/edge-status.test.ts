import * as assert from 'uvu/assert'
import { describeEdge } from '../../../src/web/page/edge/edge-status.ts'
import { language } from '../../../src/web/page/shared/i18n.ts'
import { suite } from '../../support/harness/suite.ts'

const test = suite('the page of an edge')

test('names its core, its state and how far it is behind, in both languages', () => {
  const away = { core: 'core.example:8080', state: 'away', lag_messages: 1, lag_seconds: 34 } as const
  const copying = { state: 'copying', lag_messages: 12_000, lag_seconds: null } as const
  const live = { core: 'c', state: 'live', lag_messages: 0, lag_seconds: 0 } as const
  const before = language.get()
  language.set('en')
  assert.is(describeEdge(away), 'Edge of core.example:8080 · cut off from its core · 1 message behind · 34 s behind')
  assert.is(describeEdge(copying), 'Edge · copying the history · 12,000 messages behind')
  assert.is(
    describeEdge({ ...away, lag_messages: 0, lag_seconds: 9_000 }),
    'Edge of core.example:8080 · cut off from its core · 3 h behind',
  )
  assert.is(describeEdge(live), 'Edge of c · up to date')
  language.set('zh')
  assert.is(describeEdge(away), 'core.example:8080 的边缘网关 · 与核心网关断开 · 落后 1 条消息 · 落后 34 秒')
  language.set(before)
})

test.run()
