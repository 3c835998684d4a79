import * as assert from 'uvu/assert'

// The texts follow the language of the document, which does not exist here.
Object.assign(globalThis, { document: { documentElement: {} } })
const { language } = await import('../../../src/web/page/shared/i18n.ts')
const { agentName, answerName, eventStatusName, severityName, statusName, typeName } = await import(
  '../../../src/web/page/room/role-messages.ts'
)
const { suite } = await import('../../support/harness/suite.ts')

const names = suite('the names on the page')

/** Returns the results in English and in Chinese. */
const both = (name: () => string): string[] =>
  (['en', 'zh'] as const).map((one) => {
    language.set(one)
    return name()
  })

names('of the captain’s team are those of DeepSOC', () => {
  assert.equal(
    ['_analyst', '_coordinator', '_responder', '_manager', 'ann'].map((one) => both(() => agentName(one))),
    [
      ['Analyst', '分析员'],
      ['Coordinator', '协调员'],
      ['Responder', '处置员'],
      ['Manager', '安全管理员'],
      ['ann', 'ann'],
    ],
  )
})

names('of a response are those of its answer', () => {
  assert.equal(
    both(() => typeName('llm_response', 'TASK')),
    ['tasks', '任务下达'],
  )
  assert.equal(
    both(() => typeName('llm_response', 'ROGER')),
    ['roger', '确认收到'],
  )
  assert.equal(
    both(() => typeName('manager_llm_response', 'MISSION_COMPLETE')),
    ['mission complete', '任务完成'],
  )
  assert.equal(
    both(() => typeName('chat', 'ROGER')),
    ['chat', '对话'],
  )
  assert.equal(
    both(() => answerName('TASK', true)),
    ['No tasks listed', '未列出任务'],
  )
  assert.equal(
    both(() => answerName('TASK', false)),
    ['', ''],
  )
  assert.equal(
    both(() => answerName('ROGER', true)),
    ['Roger', '收到'],
  )
})

names('of statuses are those of an event, or of a task', () => {
  assert.equal(
    both(() => statusName('pending')),
    ['pending', '待执行'],
  )
  assert.equal(
    both(() => eventStatusName('pending')),
    ['pending', '待处理'],
  )
  assert.equal(
    both(() => eventStatusName('round_finished')),
    ['round_finished', '轮次完成'],
  )
  assert.equal(
    both(() => eventStatusName('of tomorrow')),
    ['of tomorrow', 'of tomorrow'],
  )
  assert.equal(
    both(() => severityName('high')),
    ['high', '高'],
  )
})

names('exist for the types that DeepSOC’s page has, but its agents do not send', () => {
  for (const type of ['execution_summary', 'event_summary', 'event_resolved_manual', 'execution_update', 'status']) {
    assert.ok(
      both(() => typeName(type)).every((name) => name !== type),
      type,
    )
  }
})

names.run()
