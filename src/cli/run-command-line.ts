import { waitFor } from '../util/index.ts'
import { parseArguments, presentableWord } from './arguments.ts'
import { type Command, type CommandContext, isUsageInvalid, usageInvalid } from './command.ts'
import { commandHelp, familyHelp, programHelp } from './help.ts'
import { messageOf, tell } from './messages.ts'

/** What the program runs in; each command is told its arguments beside it. */
export interface CommandLine extends Omit<CommandContext, 'args'> {
  readonly commands: readonly Command[]
  readonly version: string
}

const OK = 0
const FAILED = 1
const WRONG_USAGE = 2
/** 128 and the number of SIGINT, as shells count. */
const INTERRUPTED = 130

/**
 * Finds the command that is asked for and runs it. Gives the exit code: 0 for success, 1 for a failure, 2 for wrong usage, the reason of
 * the signal, if it is a number, or 130 when the user stopped it. What went wrong stands on `stderr`.
 */
export async function runCommandLine(argv: readonly string[], line: CommandLine): Promise<number> {
  const { commands, version, ...surroundings } = line
  try {
    const asked = answerFor(argv, commands, version)
    if (asked !== undefined) {
      line.stdout.write(asked)
      return OK
    }
    const command = commandOf(argv, commands)
    const args = parseArguments(command, argv.slice(wordsOf(command)))
    const work = async (): Promise<void> => command.run({ ...surroundings, args })
    await waitFor(work(), line.signal)
    return OK
  } catch (error) {
    const { aborted, reason } = line.signal
    if (aborted) return typeof reason === 'number' ? reason : INTERRUPTED
    tell(line.stderr, messageOf(error))
    return isUsageInvalid(error) ? WRONG_USAGE : FAILED
  }
}

/** Help and version, which need no command to run. */
function answerFor(argv: readonly string[], commands: readonly Command[], version: string): string | undefined {
  const end = argv.indexOf('--')
  const before = end === -1 ? argv : argv.slice(0, end)
  if (argv[0] === '--version') return `${version}\n`
  if (!before.includes('--help') && !before.includes('-h')) return undefined
  const command = commands.find((known) => isCalled(known, argv))
  if (command !== undefined) return commandHelp(command)
  const [first = ''] = argv
  const family = familyOf(first, commands)
  if (family.length > 0) return familyHelp(first, family)
  if (first.startsWith('-')) return programHelp(commands)
  return undefined
}

function commandOf(argv: readonly string[], commands: readonly Command[]): Command {
  const command = commands.find((known) => isCalled(known, argv))
  if (command !== undefined) return command
  const [first, second] = argv
  const family = first === undefined ? [] : familyOf(first, commands)
  const [subject, candidates, word] =
    family.length > 0 ? [`evertoken ${first}`, family, second] : ['evertoken', commands, first]
  const names = candidates.map(({ name }) => name).join(', ')
  throw usageInvalid(subject, `a command out of ${names}`, word === undefined ? 'none' : presentableWord(word))
}

function isCalled({ name }: Command, argv: readonly string[]): boolean {
  return name.split(' ').every((word, index) => argv[index] === word)
}

function familyOf(first: string, commands: readonly Command[]): readonly Command[] {
  return commands.filter(({ name }) => name.startsWith(`${first} `))
}

function wordsOf({ name }: Command): number {
  return name.split(' ').length
}
