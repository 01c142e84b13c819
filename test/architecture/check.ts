import type { House } from './house.ts'
import { importFaults, peerFaults } from './import-rules.ts'
import { parseSource, type SourceFile } from './source-file.ts'
import { sizeAndWorkFaults, textFaults } from './text-rules.ts'

/** The files of `src/`: path below `src/` and text. */
export type SourceTexts = Readonly<Record<string, string>>

/** Everything in which the files differ from the plan, one line a fault. Unit tests may import what they like. */
export function faultsOf(house: House, texts: SourceTexts): readonly string[] {
  const files = new Map<string, SourceFile>()
  const tests: SourceFile[] = []
  for (const [path, text] of Object.entries(texts)) {
    const file = parseSource(path, text)
    if (path.endsWith('.test.ts')) tests.push(file)
    else files.set(path, file)
  }
  return [
    ...[...files.values()].flatMap((file) => [...importFaults(house, file, files), ...textFaults(file)]),
    ...peerFaults(house, files),
    ...tests.flatMap(sizeAndWorkFaults),
  ]
}
