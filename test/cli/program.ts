import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { vi } from 'vitest'
import { test as servers } from '../support/fixtures.ts'
import { manifest, root } from '../support/manifest.ts'

/** What a program did. */
export interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The built program, as it is installed. */
export const program = `${root}${manifest.bin?.evertoken}`

/** Runs the built program in a process of its own. */
export function run(cwd: string, ...args: readonly string[]): Promise<Run> {
  return runCommand(cwd, [process.execPath, program, ...args])
}

/** Runs the built program behind a line of shell: `umask 000`, `ulimit -f 0`. */
export function runBehind(cwd: string, line: string, ...args: readonly string[]): Promise<Run> {
  return runCommand(cwd, ['sh', '-c', `${line}; exec "$@"`, 'sh', process.execPath, program, ...args])
}

async function runCommand(cwd: string, [command = '', ...args]: readonly string[]): Promise<Run> {
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  const [[code], stdout, stderr] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)])
  return { code, stdout, stderr }
}

interface InProcess {
  readonly cwd: string
  readonly isTerminal?: boolean
  readonly signal?: AbortSignal
}

/** Runs the program in this process, which is faster. */
export async function runHere(
  { cwd, isTerminal = false, signal }: InProcess,
  ...args: readonly string[]
): Promise<Run> {
  const { runCommandLine } = await vi.importActual<typeof import('../../src/cli/run-command-line.ts')>(
    '../../src/cli/run-command-line.ts',
  )
  const { COMMANDS } = await vi.importActual<typeof import('../../src/cli/commands.ts')>('../../src/cli/commands.ts')
  const written = { stdout: '', stderr: '' }
  const outputTo = (name: keyof typeof written) => ({
    isTerminal,
    write(more: string) {
      written[name] += more
    },
  })
  const code = await runCommandLine(args, {
    commands: COMMANDS,
    version: '0.0.0',
    stdout: outputTo('stdout'),
    stderr: outputTo('stderr'),
    env: {},
    cwd,
    signal: signal ?? new AbortController().signal,
  })
  return { code, ...written }
}

/** An empty folder that is removed again. */
// biome-ignore lint/correctness/noEmptyPattern: fixtures name what they use in their first parameter
const folder = async ({}, use: (folder: string) => Promise<void>): Promise<void> => {
  const path = mkdtempSync(join(tmpdir(), 'evertoken-cli-'))
  await use(path)
  rmSync(path, { recursive: true, force: true })
}

export const test = servers.extend<{ readonly folder: string }>({ folder })
