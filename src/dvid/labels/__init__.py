"""What all label datatypes share: blocks of supervoxels, their index, and the bodies they make up."""
