import * as assert from 'uvu/assert'
import { CommitPace } from '../../../src/core/commit-pace.ts'
import { suite } from '../../support/harness/suite.ts'

const pace = suite('commit pace')

pace('the first commit, and one after a single entry, start at once', () => {
  const commits = new CommitPace()
  assert.is(commits.pauseMs(1, 0), 0)
  commits.started(1, 0)
  assert.is(commits.pauseMs(1, 0), 0)
  assert.is(commits.pauseMs(50, 0), 0)
})

pace('after a commit of several, the next one starts 5 ms after its start', () => {
  const commits = new CommitPace()
  commits.started(2, 1_000)
  assert.is(commits.pauseMs(1, 1_001), 4)
  assert.is(commits.pauseMs(99, 1_003), 2)
  assert.is(commits.pauseMs(1, 1_004.5), 0, 'no timer for less than a millisecond')
  assert.is(commits.pauseMs(1, 1_006), 0)
})

pace('a hundred waiting entries are committed at once', () => {
  const commits = new CommitPace()
  commits.started(2, 0)
  assert.is(commits.pauseMs(100, 0), 0)
})

pace.run()
