import { type Figure, median } from './figures.ts'
import { startLoopback } from './loopback.ts'
import { interleaved } from './rounds.ts'
import { runProgram } from './run-program.ts'

const LIMIT_MS = 100

/** How soon a script ends that has got one token and closes nothing. */
export async function exitTime(): Promise<readonly Figure[]> {
  const { tokenEndpoint, close } = await startLoopback()
  const exit = (program: string) => async () => {
    const { output, exitedAt } = await runProgram(program, tokenEndpoint)
    return exitedAt - Number(output)
  }
  const times = await interleaved({ ours: exit('one-token'), floor: exit('one-fetch') }, { turns: 15 })
  await close()
  const longest = Math.max(...times.ours)
  return [
    {
      what: 'exit after the last call: median',
      ours: `${median(times.ours).toFixed(1)} ms`,
      floor: `${median(times.floor).toFixed(1)} ms`,
      limit: `${LIMIT_MS} ms`,
      isWithin: median(times.ours) <= LIMIT_MS,
    },
    {
      what: 'exit after the last call: longest of 15',
      ours: `${longest.toFixed(1)} ms`,
      floor: `${Math.max(...times.floor).toFixed(1)} ms`,
      limit: `${LIMIT_MS} ms`,
      isWithin: longest <= LIMIT_MS,
    },
  ]
}
