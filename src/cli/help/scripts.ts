import type { CliCommand, CommandGroup, Flag } from '../command.ts'
import { flattenGroups } from './lookup.ts'
import { GLOBAL_FLAGS, HELP_FLAG } from './render.ts'

type Entries = readonly (CliCommand | CommandGroup)[]

const listGroups = (entries: Entries): CommandGroup[] => entries.filter((entry) => 'commands' in entry)

const listFlags = ({ flags }: CliCommand): [name: string, flag: Flag][] => Object.entries({ ...flags, help: HELP_FLAG })

const isFile = ({ value }: Flag): boolean => value === 'FILE'

/** Quotes a word for bash and zsh. */
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

const optionWords = (command: CliCommand): string =>
  listFlags(command)
    .map(([name]) => `--${name}`)
    .join(' ')

const bashCase = (command: CliCommand): string => {
  const valued = listFlags(command).filter(([, { value }]) => value !== undefined)
  const names = (matches: (flag: Flag) => boolean) =>
    valued
      .filter(([, flag]) => matches(flag))
      .map(([name]) => `--${name}`)
      .join('|')
  const [files, others] = [names(isFile), names((flag) => !isFile(flag))]
  const words = [...(Array.isArray(command.completes) ? command.completes : []), optionWords(command)].join(' ')
  return [
    `    ${quote(command.name)})`,
    '      case $previous in',
    ...(files === '' ? [] : [`        ${files}) files=1 ;;`]),
    ...(others === '' ? [] : [`        ${others}) ;;`]),
    `        *) words=${quote(words)}${command.completes === 'files' ? ' files=1' : ''} ;;`,
    '      esac',
    '      ;;',
  ].join('\n')
}

const bashScript = (entries: Entries): string => `# bash completion for deepsoc-gateway
_deepsoc_gateway() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} command=\${COMP_WORDS[1]} words= files=
  COMPREPLY=()
  # bash splits --flag=value into three words.
  [[ $current == = ]] && current=
  [[ $previous == = ]] && previous=\${COMP_WORDS[COMP_CWORD - 2]}
  case $command in
${listGroups(entries)
  .map(({ name }) => `    ${name}) ((COMP_CWORD > 2)) && command+=" \${COMP_WORDS[2]}" ;;`)
  .join('\n')}
    -*) command=serve ;;
  esac
  ((COMP_CWORD == 1)) && command=
  case $command in
    '') words=${quote([...entries.map(({ name }) => name), ...Object.keys(GLOBAL_FLAGS).map((name) => `--${name}`)].join(' '))} ;;
${listGroups(entries)
  .map(({ name, commands }) => `    ${name}) words=${quote([...Object.keys(commands), '--help'].join(' '))} ;;`)
  .join('\n')}
${flattenGroups(entries).map(bashCase).join('\n')}
  esac
  [[ $words && ( ! $files || $current == -* ) ]] && COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ $files && $current != -* ]] && compopt -o default 2> /dev/null
  return 0
}
complete -F _deepsoc_gateway deepsoc-gateway
`

/** Escapes a text for the brackets of a specification of \`_arguments\`. */
const bracketed = (text: string): string => text.replace(/[[\]\\]/g, '\\$&')

const zshFlag = ([name, flag]: [string, Flag]): string => {
  const { value, multiple, description } = flag
  const spec = `${multiple ? '*' : ''}--${name}[${bracketed(description)}]`
  return quote(value === undefined ? spec : `${spec}:${value.replaceAll(':', '\\:')}:${isFile(flag) ? '_files' : ' '}`)
}

const zshPairs = (pairs: readonly (readonly [name: string, description: string])[]): string =>
  pairs.map(([name, description]) => quote(`${name}:${description}`)).join(' ')

const zshArguments = ({ completes }: CliCommand): string =>
  quote(
    completes === 'files'
      ? '*:file:_files'
      : `*:argument:${completes === undefined ? ' ' : `(${completes.join(' ')})`}`,
  )

const zshScript = (entries: Entries): string => `#compdef deepsoc-gateway
# zsh completion for deepsoc-gateway
_deepsoc-gateway() {
  local -a names
  local command=serve
  if (( CURRENT == 2 )); then
    if [[ $PREFIX == -* ]]; then
      _arguments ${Object.entries(GLOBAL_FLAGS).map(zshFlag).join(' ')}
    else
      names=(${zshPairs(entries.map(({ name, summary }) => [name, summary]))})
      _describe -t commands command names
    fi
    return
  fi
  if [[ $words[2] != -* ]]; then
    command=$words[2]
    shift words
    (( CURRENT-- ))
  fi
  case $command in
${listGroups(entries)
  .map(
    ({ name, commands }) => `    ${name})
      if (( CURRENT == 2 )); then
        names=(${zshPairs(Object.entries(commands).map(([word, { summary }]) => [word, summary]))})
        _describe -t commands command names
        return
      fi
      command+=" $words[2]"
      shift words
      (( CURRENT-- ))
      ;;`,
  )
  .join('\n')}
  esac
  case $command in
${flattenGroups(entries)
  .map(
    (command) =>
      `    ${quote(command.name)}) _arguments ${[...listFlags(command).map(zshFlag), zshArguments(command)].join(' ')} ;;`,
  )
  .join('\n')}
  esac
}
# The file can be sourced, or lie in a folder of fpath.
if [[ $funcstack[1] == _deepsoc-gateway ]]; then
  _deepsoc-gateway "$@"
else
  compdef _deepsoc-gateway deepsoc-gateway
fi
`

const fishQuote = (text: string): string => `'${text.replace(/['\\]/g, '\\$&')}'`

const fishLine = (condition: string, rest: string): string =>
  `complete -c deepsoc-gateway -n ${fishQuote(condition)} ${rest}`

const fishFlag = (condition: string, [name, flag]: [string, Flag]): string => {
  const value = flag.value === undefined ? '' : isFile(flag) ? ' -r -F' : ' -x'
  return fishLine(condition, `-l ${name}${value} -d ${fishQuote(flag.description)}`)
}

const fishCommand = (command: CliCommand): string[] => {
  const condition = `__deepsoc_gateway_in ${command.name}`
  const { completes } = command
  const lines = listFlags(command).map((flag) => fishFlag(condition, flag))
  if (completes === 'files') lines.push(fishLine(condition, '-F'))
  else if (completes !== undefined) lines.push(fishLine(condition, `-a ${fishQuote(completes.join(' '))}`))
  return lines
}

const fishNames = (condition: string, summaries: readonly (readonly [name: string, summary: string])[]): string[] =>
  summaries.map(([name, summary]) => fishLine(condition, `-a ${name} -d ${fishQuote(summary)}`))

const fishScript = (entries: Entries): string => {
  const first = 'test (count (commandline -opc)) -eq 1'
  return `${[
    '# fish completion for deepsoc-gateway',
    'function __deepsoc_gateway_in',
    '    set -l words (commandline -opc)',
    '    set -e words[1]',
    '    set -l count (count $argv)',
    '    test (count $words) -ge $count; and test "$words[1..$count]" = "$argv"',
    'end',
    'complete -c deepsoc-gateway -f',
    ...fishNames(
      first,
      entries.map(({ name, summary }) => [name, summary]),
    ),
    ...Object.entries(GLOBAL_FLAGS).map((flag) => fishFlag(first, flag)),
    ...listGroups(entries).flatMap(({ name, commands }) =>
      fishNames(
        `__deepsoc_gateway_in ${name}; and test (count (commandline -opc)) -eq 2`,
        Object.entries(commands).map(([word, { summary }]) => [word, summary]),
      ),
    ),
    ...flattenGroups(entries).flatMap(fishCommand),
  ].join('\n')}\n`
}

/** Completion scripts by shell. */
export const COMPLETION_SCRIPTS: Readonly<Record<string, (entries: Entries) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
}
