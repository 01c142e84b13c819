import { parseArgs } from 'node:util'
import type { Report } from './report.ts'

/** What is asked for on the command line. */
export interface DemoOptions {
  /** Whether it ends by itself. */
  readonly isOnce: boolean
  /** How many workers share a Redis. Without it one process runs alone. */
  readonly fleet: number | undefined
}

/** What each demo is run with. */
export interface Demo {
  readonly isOnce: boolean
  readonly report: Report
  /** Ends it early. */
  readonly signal: AbortSignal
}

const FEWEST = 2
const MOST = 16
const EXPECTED = `a number of workers from ${FEWEST} to ${MOST}`

/** Reads the arguments; a text says what is wrong with them. */
export function demoOptions(args: readonly string[]): DemoOptions | string {
  const { tokens } = parseArgs({
    args: [...args],
    options: { once: { type: 'boolean' }, fleet: { type: 'string' } },
    strict: false,
    tokens: true,
  })
  let isOnce = false
  let fleet: number | undefined
  for (const token of tokens) {
    if (token.kind === 'option' && token.name === 'once' && token.value === undefined) isOnce = true
    else if (token.kind === 'option' && token.name === 'fleet') {
      // What looks like another option is one that was meant, and not the number.
      if (token.value === undefined || /^--/.test(token.value)) return `--fleet: expected ${EXPECTED}, got none`
      fleet = workersFrom(token.value)
      if (fleet === undefined) return `--fleet: expected ${EXPECTED}, got ${token.value}`
    } else return `expected --once and --fleet with ${EXPECTED}, got ${args[token.index]}`
  }
  return { isOnce, fleet }
}

function workersFrom(text: string): number | undefined {
  const workers = /^\d+$/.test(text) ? Number(text) : Number.NaN
  return workers >= FEWEST && workers <= MOST ? workers : undefined
}
