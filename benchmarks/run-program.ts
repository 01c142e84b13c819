import { spawn } from 'node:child_process'
import { programPath } from './loopback.ts'

/** One run of a program, from outside. */
export interface ProgramRun {
  readonly output: string
  readonly elapsedMs: number
  /** Milliseconds since the epoch, with fractions. */
  readonly exitedAt: number
}

/** Runs a program of this folder in a Node of its own. */
export function runProgram(
  name: string,
  { args = [], nodeOptions = [] }: { readonly args?: readonly string[]; readonly nodeOptions?: readonly string[] } = {},
): Promise<ProgramRun> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now()
    const child = spawn(process.execPath, [...nodeOptions, programPath(name), ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    let exitedAt = 0
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
    child.on('error', reject)
    child.on('exit', () => {
      exitedAt = performance.now()
    })
    // Only now is all output read.
    child.on('close', (code) => {
      if (code !== 0) return reject(new Error(`expected program ${name} to exit with 0, got ${code}`))
      resolve({ output, elapsedMs: exitedAt - startedAt, exitedAt: performance.timeOrigin + exitedAt })
    })
  })
}
