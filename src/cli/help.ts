import type { Command } from './command.ts'

const GAP = 2

/** What the program is, and its commands. */
export function programHelp(commands: readonly Command[]): string {
  return paragraphs(
    ['usage: evertoken <command> [options]'],
    ['Keeps OAuth 2.0 access tokens alive.'],
    ['commands', ...columns(commands.map(({ name, summary }) => [name, summary]))],
    [
      'options',
      ...columns([
        ['--help', 'shows this text, or that of a command'],
        ['--version', 'shows the version'],
      ]),
    ],
  )
}

/** The commands of a family, such as `keys`. */
export function familyHelp(family: string, commands: readonly Command[]): string {
  return paragraphs(
    [`usage: evertoken ${family} <command> [options]`],
    ['commands', ...columns(commands.map(({ name, summary }) => [name, summary]))],
  )
}

/** One command with its options. */
export function commandHelp({ name, summary, usage, details = [], options }: Command): string {
  const rows = options.map(({ name: option, value, summary: text }): [string, string] => [
    value === undefined ? `--${option}` : `--${option} <${value}>`,
    text,
  ])
  return paragraphs(
    [`usage: evertoken ${name} ${usage}`],
    [`${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`],
    details,
    ['options', ...columns([...rows, ['--help', 'shows this text']])],
  )
}

function paragraphs(...texts: readonly (readonly string[])[]): string {
  const filled = texts.filter((lines) => lines.length > 0)
  return `${filled.map((lines) => lines.join('\n')).join('\n\n')}\n`
}

function columns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(...rows.map(([first]) => first.length)) + GAP
  return rows.map(([first, second]) => `  ${first.padEnd(width)}${second}`)
}
