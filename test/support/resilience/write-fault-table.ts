import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../harness/program.ts'
import { FAULT_DOCUMENTS, withFaultTable } from './fault-table-text.ts'

for (const language of ['en', 'zh'] as const) {
  writeFileSync(join(ROOT, FAULT_DOCUMENTS[language]), withFaultTable(language))
}
