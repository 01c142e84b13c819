import { isBuiltin } from 'node:module'
import { posix } from 'node:path'
import { floorOf, folderOf, type House, isWeb } from './house.ts'
import type { Import, SourceFile } from './source-file.ts'

type Files = ReadonlyMap<string, SourceFile>

/** What is wrong with the imports of one file, one line a fault. */
export function importFaults(house: House, file: SourceFile, files: Files): readonly string[] {
  const folder = folderOf(house, file.path)
  if (floorOf(house, folder) === undefined)
    return [`${at(file, 1)} lies in "${folder}", which has no floor in the table`]
  return file.imports.flatMap((imported) => {
    const fault = importFault(house, { file, folder, files }, imported)
    return fault === undefined ? [] : [`${at(file, imported.line)} ${fault}`]
  })
}

interface Importer {
  readonly file: SourceFile
  readonly folder: string
  readonly files: Files
}

function importFault(house: House, importer: Importer, { specifier }: Import): string | undefined {
  if (specifier === undefined) {
    return house.loaders.includes(importer.file.path)
      ? undefined
      : 'imports a computed specifier, which nothing can check'
  }
  if (specifier.startsWith('.')) return fileFault(house, importer, specifier)
  if (isBuiltin(specifier)) {
    return isWeb(house, importer.folder)
      ? `imports "${specifier}", but "${importer.folder}" runs on Web standards alone`
      : undefined
  }
  return packageFault(house, importer.folder, packageOf(specifier))
}

function fileFault(house: House, { file, folder, files }: Importer, specifier: string): string | undefined {
  const path = posix.join(posix.dirname(file.path), specifier)
  if (!files.has(path)) return `imports "${specifier}", which is no file of src`
  const target = folderOf(house, path)
  if (target === folder) return undefined
  const [own, other] = [floorOf(house, folder), floorOf(house, target)]
  if (own === undefined || other === undefined) return `imports "${specifier}" from a folder without a floor`
  const isBeside = own === other && (house.beside[folder] ?? []).includes(target)
  if (other >= own && !isBeside) {
    const direction = other > own ? 'upwards' : 'sideways'
    return `imports "${specifier}" ${direction}: "${folder}" is on floor ${own}, "${target}" on floor ${other}`
  }
  const door = target === '.' ? path : `${target}/index.ts`
  return path === door ? undefined : `imports "${specifier}" past the index.ts of "${target}"`
}

function packageFault(house: House, folder: string, name: string): string | undefined {
  const folders = house.packages[name]
  if (folders !== undefined) {
    return folders.includes(folder) ? undefined : `imports "${name}", which belongs to ${folders.join(', ')} alone`
  }
  if (!house.peers.includes(name)) return `imports "${name}", which is neither a dependency of the table nor a peer`
  return floorOf(house, folder) === house.adapterFloor
    ? undefined
    : `imports the peer "${name}", which only adapters may do`
}

/** An adapter ties this package to one peer; a second one makes it two adapters. */
export function peerFaults(house: House, files: Files): readonly string[] {
  const peers = new Map<string, Set<string>>()
  for (const file of files.values()) {
    const folder = folderOf(house, file.path)
    if (floorOf(house, folder) !== house.adapterFloor) continue
    for (const { specifier } of file.imports) {
      const name = specifier === undefined ? '' : packageOf(specifier)
      if (house.peers.includes(name)) peers.set(folder, (peers.get(folder) ?? new Set()).add(name))
    }
  }
  return [...peers]
    .filter(([folder, names]) => names.size > 1 && !house.manyPeers.includes(folder))
    .map(([folder, names]) => `src/${folder} imports ${names.size} peers: ${[...names].sort().join(', ')}`)
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

function at(file: SourceFile, line: number): string {
  return `src/${file.path}:${line}`
}
