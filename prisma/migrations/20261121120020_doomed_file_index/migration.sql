-- DropIndex
DROP INDEX "doomed_file_aside_at_idx";
