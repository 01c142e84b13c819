/** The plan of `src/`: which folder stands on which floor, and what it may bring in from outside. */
export interface House {
  /** A folder of `src/` and its floor. `.` stands for the files of `src/` itself, the front door. */
  readonly floors: Readonly<Record<string, number>>
  /** Folders of the same floor that a folder leans on all the same. */
  readonly beside: Readonly<Record<string, readonly string[]>>
  /** The highest floor that runs on Web standards alone. */
  readonly webFloor: number
  /** Folders above that floor which run on Web standards alone too. */
  readonly webFolders: readonly string[]
  /** The floor of the adapters: each imports one optional peer at most. */
  readonly adapterFloor: number
  /** A package and the only folders that import it. */
  readonly packages: Readonly<Record<string, readonly string[]>>
  /** Packages that only adapters import, one each. */
  readonly peers: readonly string[]
  /** Adapters that may import more than one. */
  readonly manyPeers: readonly string[]
  /** Files that import a module whose name the user gives them. */
  readonly loaders: readonly string[]
}

/** Where a file of `src/` lives in the house: the longest folder of the plan that it lies in. */
export function folderOf(house: House, path: string): string {
  const segments = path.split('/').slice(0, -1)
  if (segments.length === 0) return '.'
  for (let length = segments.length; length > 0; length--) {
    const folder = segments.slice(0, length).join('/')
    if (Object.hasOwn(house.floors, folder)) return folder
  }
  return segments.join('/')
}

export function floorOf(house: House, folder: string): number | undefined {
  return Object.hasOwn(house.floors, folder) ? house.floors[folder] : undefined
}

/** Whether the folder has to do without Node. */
export function isWeb(house: House, folder: string): boolean {
  const floor = floorOf(house, folder)
  return floor === undefined || floor <= house.webFloor || house.webFolders.includes(folder)
}
