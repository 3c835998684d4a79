import { sampleFile } from './config.ts'

process.stdout.write(sampleFile())
