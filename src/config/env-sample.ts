import type { ConfigVariable } from './variable.ts'
import { CONFIG_VARIABLES } from './variables.ts'

/** Returns the text of .env.sample. */
export const renderEnvSample = (): string => {
  const lines = [
    '# Settings of deepsoc-gateway, each with its default. Copy to .env and change what you need.',
    '# Generated from src/config/variables.ts by: npm run env-sample',
  ]
  for (const [name, variable] of Object.entries<ConfigVariable>(CONFIG_VARIABLES)) {
    const text = variable.default ?? ''
    lines.push(
      '',
      `# ${variable.description}`,
      `# ${variable.constraint}${variable.secret ? `; also ${name}_FILE` : ''}`,
      // Outside quotes, # starts a comment.
      `#${name}=${text.includes('#') ? `"${text}"` : text}`,
    )
  }
  return `${lines.join('\n')}\n`
}
