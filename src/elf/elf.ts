// The door of the room: everything that others need of ELF, except the constants (constants.ts), the types of the
// model (model.ts) and the units (units.ts).

export { type Dangling, findDangling } from './dangling.ts';
export {
  findSection,
  findSymbol,
  isSection,
  newModel,
  newSection,
  newSymbol,
  removeSections,
  setData,
} from './edit.ts';
export { type Note, readNotes } from './notes.ts';
export { type ElfImage, readElf, readImage } from './reader.ts';
export { cString, cStringBytes } from './strings.ts';
export { writeElf } from './writer.ts';
