/** Something that is measured in rounds; a round gives one number, or several that belong together. */
export type Round<Result = number> = () => Promise<Result>

/**
 * Runs rounds of several subjects in turn, so that a noisy neighbour disturbs all of them alike. Every second turn goes
 * backwards, so that nobody is always the one who runs after another's garbage.
 */
export async function interleaved<Name extends string, Result = number>(
  rounds: Readonly<Record<Name, Round<Result>>>,
  { turns, warmUps = 1 }: { readonly turns: number; readonly warmUps?: number },
): Promise<Readonly<Record<Name, readonly Result[]>>> {
  const names = Object.keys(rounds) as Name[]
  const results = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, Result[]>
  for (let turn = -warmUps; turn < turns; turn++) {
    const order = turn % 2 === 0 ? names : [...names].reverse()
    for (const name of order) {
      const result = await rounds[name]()
      if (turn >= 0) results[name].push(result)
    }
  }
  return results
}

/** Of two subjects measured in the same turns: how much of the second the first took, turn by turn. */
export function ratios(ours: readonly number[], floor: readonly number[]): readonly number[] {
  return ours.map((value, turn) => value / (floor[turn] ?? Number.NaN))
}

/**
 * Collects all garbage, before memory is counted. Not before time is taken: each full collection ages compiled code, and
 * what runs in one turn out of three would be thrown away and compiled again.
 */
export function collect(): void {
  if (globalThis.gc === undefined) throw new Error('expected node to be run with --expose-gc')
  globalThis.gc()
  globalThis.gc()
}

/** What is kept alive, on the heap and beside it. */
export async function settledBytes(): Promise<number> {
  // Finalisers and timers of what was thrown away get their turn first.
  for (let turn = 0; turn < 5; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    collect()
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
