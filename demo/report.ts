import { styleText } from 'node:util'

/** How a line is meant. */
export type Tone = 'plain' | 'good' | 'busy' | 'bad'

/** What the demo counts. */
export interface Totals {
  callsMade: number
  callsFailed: number
  tokenRequests: number
  callsThatWaited: number
  /** Calls that an API wanted another proof for. */
  proofsRepeated: number
}

/** A live account of what happens, one line at a time. */
export interface Account {
  readonly totals: Totals
  line(who: string, text: string, tone?: Tone): void
}

/** An account that is printed, and ends with numbers. */
export interface Report extends Account {
  summary(rows: readonly (readonly [name: string, value: number])[]): void
}

const COLOURS = { plain: undefined, good: 'green', busy: 'cyan', bad: 'yellow' } as const
const WHO_WIDTH = 22

/** Nothing has happened yet. */
export function noTotals(): Totals {
  return { callsMade: 0, callsFailed: 0, tokenRequests: 0, callsThatWaited: 0, proofsRepeated: 0 }
}

/** Prints to a stream; in colours if that is a terminal. */
export function createReport(stream: NodeJS.WriteStream): Report {
  const startedAt = performance.now()
  const hasColours = stream.isTTY === true && process.env.NO_COLOR === undefined
  const write = (text: string): void => {
    stream.write(`${text}\n`)
  }
  return {
    totals: noTotals(),
    line(who, text, tone = 'plain') {
      const colour = COLOURS[tone]
      const shown = hasColours && colour !== undefined ? styleText(colour, text) : text
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)
      write(`${seconds} s  ${who.padEnd(WHO_WIDTH)}${shown}`)
    },
    summary(rows) {
      write('')
      for (const [name, value] of rows) write(`  ${name.padEnd(32)}${String(value).padStart(6)}`)
    },
  }
}
