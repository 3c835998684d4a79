#!/usr/bin/env node
import { runCommandLine } from './cli/main.ts'

// Not awaited: the single executable is CommonJS, which has no top-level await.
void runCommandLine(process.argv.slice(2)).then((code) => process.exit(code))
