#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import type { Output } from './command.ts'
import { COMMANDS } from './commands.ts'
import { kindOf, tell } from './messages.ts'
import { runCommandLine } from './run-command-line.ts'

const FAILED = 1
/** Added to the number of a signal, as shells do. */
const BY_SIGNAL = 128

const stdout = outputTo(process.stdout)
const stderr = outputTo(process.stderr)

/** A reader that has seen enough is no error; a disk that is full is one. */
let outputFailed = false
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return
    outputFailed = true
    if (stream === process.stdout) tell(stderr, `expected standard output to be writable, got ${kindOf(error)}`)
  })
}

const controller = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => controller.abort(BY_SIGNAL + constants.signals[signal]))
}

// Nothing is left to wait for, and the command has not ended: a configuration that waits for itself, say.
process.once('beforeExit', () => fail('expected the command to come to its end, got nothing left that it waits for'))
// What the application's own modules let fall. Node would print it as it is, secrets included.
process.once('uncaughtException', (error) => fail(`expected no failure, got ${kindOf(error)}`))

const code = await runCommandLine(process.argv.slice(2), {
  commands: COMMANDS,
  version: versionOf(new URL('../../package.json', import.meta.url)),
  stdout,
  stderr,
  env: process.env,
  cwd: process.cwd(),
  signal: controller.signal,
})
await Promise.all([process.stdout, process.stderr].map(flushed))
// What a configuration has left open, connections and timers, must not keep the program.
process.exit(outputFailed && code === 0 ? FAILED : code)

function fail(message: string): void {
  tell(stderr, message)
  process.exit(FAILED)
}

function outputTo(stream: NodeJS.WriteStream): Output {
  return { isTerminal: stream.isTTY === true, write: (text) => void stream.write(text) }
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write('', () => resolve())
  })
}

function versionOf(manifest: URL): string {
  const { version }: { readonly version: string } = JSON.parse(readFileSync(manifest, 'utf8'))
  return version
}
